//! Makes a finding of what a rule found and what the engine knows.

use super::{
    loss::Losses,
    story,
    tell::{direction, service},
};
use crate::{
    event::{Cookie, Owner, Presence, Snapshot, Source},
    finding::{ErrnoSource, Finding, FindingId, Party, Reset},
    pattern::{End, Found, Moment, Occasion, Parked, Pattern, SentReset, View},
    time::Time,
};
use std::time::Duration;
use tracer_common::{State, record::socket::FOLLOWED};

/// Losses this long before an incident may have taken what explains it.
const LOOK_BACK: Duration = Duration::from_millis(200);

pub(super) fn finding(
    id: FindingId,
    pattern: &'static Pattern,
    found: &Found,
    also: Vec<&'static str>,
    view: &View<'_>,
    losses: &Losses,
) -> Finding {
    let at = view.occasion.at();
    let local = local(view, at);
    let peer = peer(view, at);
    let acts = if found.look_at_peer { peer.as_ref() } else { Some(&local) };
    let actor = acts.and_then(|party| party.owner);
    let called = matches!(view.occasion, Occasion::On(Moment::CallFailed | Moment::Called, _));
    let observed = |errno| called || view.end.is_some_and(|end| end.observed(errno).is_some());
    let source = |errno| if observed(errno) { ErrnoSource::Observed } else { ErrnoSource::Derived };
    let errno = found.errno.map(|errno| (errno, source(errno)));
    let signal = match *view.occasion {
        Occasion::On(Moment::CallFailed, _) => {
            view.end.and_then(|end| end.piped).and_then(|piped| piped.signal)
        }
        _ => None,
    };
    let mut follows = view.end.map(|end| end.told.clone()).unwrap_or_default();
    follows.extend(view.parked.iter().flat_map(|orphan| &orphan.told));
    // That the answers got lost was told when nothing had happened to the client yet.
    follows.extend(view.peer.iter().filter(|peer| peer.stands_in()).flat_map(|peer| &peer.told));
    follows.sort_unstable();
    follows.dedup();
    Finding {
        id,
        follows,
        pattern: pattern.id,
        also,
        at,
        severity: found.severity,
        confidence: found.confidence,
        title: pattern.text.en.title,
        message: found.message.clone(),
        advice: found.advice.clone(),
        confirm: confirm(pattern.text.en.confirm, &local, actor),
        errno,
        signal: signal.map(|_| "SIGPIPE"),
        reset: reset(view),
        facts: found.facts.clone(),
        timeline: story::timeline(view),
        count: found.count,
        first: at,
        missing: missing(view, &local, losses),
        local,
        peer,
    }
}

/// The pattern's command with this connection's numbers filled in.
fn confirm(command: &str, local: &Party, actor: Option<Owner>) -> Option<String> {
    let service = service(local.tuple, local.direction);
    let values = [
        ("PORT", (service.port() != 0).then(|| service.port().to_string())),
        ("PID", actor.map(|owner| owner.pid.to_string())),
        ("ADDRESS", (local.tuple.remote_port != 0).then(|| local.tuple.remote_address().ip().to_string())),
    ];
    values.into_iter().try_fold(command.to_owned(), |command, (place, value)| {
        if command.contains(place) { Some(command.replace(place, &value?)) } else { Some(command) }
    })
}

fn local(view: &View<'_>, at: Time) -> Party {
    match (view.end, view.parked) {
        (Some(end), _) => {
            let mut party = party(&end.snapshot, end.owner().or_else(|| waiting_at(view)), at);
            match *view.occasion {
                Occasion::Failed { old, .. } => party.state = Some(old),
                Occasion::On(Moment::Loose, _) => party.state = None,
                _ => {}
            }
            party
        }
        (None, Some(orphan)) => {
            Party { state: Some(State::FinWait2), ..party(&orphan.last, orphan.owner(), at) }
        }
        // A case is opened for an end or an orphan, and neither leaves before it is judged.
        (None, None) => unreachable!("a case without a subject"),
    }
}

/// A connection in an accept queue is its listener's.
fn waiting_at(view: &View<'_>) -> Option<Owner> {
    let listener = view.listener?;
    listener.owner.map(|owner| Owner { source: Source::Accept, ..owner })
}

fn peer(view: &View<'_>, at: Time) -> Option<Party> {
    if let Some(end) = view.peer {
        return Some(party(&end.snapshot, end.owner(), at));
    }
    let orphan = view.peer_parked?;
    Some(Party { state: Some(State::FinWait2), ..party(&orphan.last, orphan.owner(), at) })
}

fn party(snapshot: &Snapshot, owner: Option<Owner>, at: Time) -> Party {
    let known = snapshot.socket.snd_nxt != 0;
    Party {
        tuple: snapshot.tuple(),
        // The engine's own subjects stand for a socket that may have none.
        cookie: Some(Cookie(snapshot.socket.cookie)).filter(|cookie| cookie.of_kernel().is_some()),
        state: Some(snapshot.state),
        direction: direction(&snapshot.past),
        age: snapshot.age(at),
        preexisting: snapshot.preexisting(),
        uid: known.then_some(snapshot.socket.uid),
        owner,
        in_cgroup: snapshot.in_cgroup(),
        followed: snapshot.past.flags & FOLLOWED != 0,
    }
}

/// The RST of the incident: the one this end received, or the one it sent.
fn reset(view: &View<'_>) -> Option<Reset> {
    let reason =
        |sent: Option<&SentReset>| sent.and_then(|reset| view.host.reason(reset.reason)).map(str::to_owned);
    let of_orphan = |orphan: Option<&Parked>| orphan.and_then(Parked::reset_sent);
    let of_end = |end: Option<&End>| end.and_then(|end| end.reset_sent);
    if view.end.is_some_and(|end| end.reset_received.is_some() && !end.reset_itself()) {
        let sent = of_end(view.peer).or(of_orphan(view.peer_parked));
        let loose = view.loose.and_then(|loose| view.host.reason(loose.reason)).map(str::to_owned);
        return Some(Reset { sent: false, reason: reason(sent.as_ref()).or(loose), inferred: false });
    }
    let sent = of_end(view.end).or(of_orphan(view.parked))?;
    Some(Reset { sent: true, reason: reason(Some(&sent)), inferred: false })
}

/// The causes of losses that may have taken what explains an incident.
pub(super) fn losses(since: Time, now: Time, losses: &Losses) -> Vec<&'static str> {
    losses.within(since - LOOK_BACK, now)
}

/// What was not seen and might have mattered.
fn missing(view: &View<'_>, local: &Party, losses: &Losses) -> Vec<&'static str> {
    let at = view.occasion.at();
    let since = match *view.occasion {
        Occasion::On(Moment::Stalled, _) => {
            view.end.and_then(|end| end.stalled).map_or(at, |(since, _)| since)
        }
        Occasion::Stayed { .. } => view.end.and_then(|end| end.since).unwrap_or(at),
        Occasion::Parked { .. } => view.parked.map_or(at, |orphan| orphan.at),
        Occasion::Failed { .. } | Occasion::On(..) => at,
    };
    let mut missing = self::losses(since, view.now, losses);
    if view.end.is_some_and(|end| end.unseen) {
        missing.push("state_change");
    }
    if local.preexisting {
        missing.push("history");
    }
    if view.looked == Some(Presence::Unknown) {
        missing.push("look");
    }
    missing
}
