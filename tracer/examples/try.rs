use tracer::{engine::*, kernel::{btf::Btf, vocabulary::Vocabulary, probes::Probes, look::Looks}, live::{Live,Told}, pattern::*};
use tracer_common::settings::Settings;
#[tokio::main(flavor="current_thread")]
async fn main() -> anyhow::Result<()> {
    let t=std::time::Instant::now();
    let btf = Btf::from_sysfs()?;
    let voc = Vocabulary::read(&btf)?;
    eprintln!("absent {:?} btf {:?}", voc.absent, t.elapsed());
    let probes = Probes::attach(&Settings::NONE, &voc, &btf, 4<<20)?;
    for s in &probes.statuses { eprintln!("{} {:?}", s.hook.program, s.outcome); }
    eprintln!("attached {:?}", t.elapsed());
    let host = Host { reset_reasons: voc.reset_reasons.clone(), hz: 0, settings: [("close_wait_leak.after", Value::Time(std::time::Duration::from_secs(3)))].into_iter().collect() };
    let engine = Engine::new(host, Capacity::default(), |_| true);
    let stats = Probes::enable_statistics()?;
    let mut live = Live::new(probes, engine, Looks::new(std::time::Duration::from_secs(1))?, None, std::env::args().any(|a| a=="events"))?;
    eprintln!("scanned {} {:?}", live.scan()?, t.elapsed());
    let end = std::time::Instant::now() + std::time::Duration::from_secs(std::env::args().nth(1).unwrap().parse()?);
    while std::time::Instant::now() < end {
        for told in live.next().await? { match told { Told::Finding(f) => println!("{}\n   {}\n   {:?}", tracer::scenario::summary(&f), f.message, f.facts), Told::Event(e) => println!("{:?}", e.what) } }
    }
    for told in live.finish()? { if let Told::Finding(f) = told { println!("{}\n   {}", tracer::scenario::summary(&f), f.message) } }
    println!("{:#?}", live.totals()?);
    for (n,t,r) in live.probes().run_times() { println!("{n} {r} runs {} ns", if r>0 {t/r} else {0}); }
    drop(stats);
    Ok(())
}
