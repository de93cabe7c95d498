//! Puts the kernel programs where `include_bytes_aligned!` finds them.

use object::{
    build::elf::{Builder, SectionData},
    elf::SHT_STRTAB,
};
use std::{env, error::Error, fs, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let embedded = xtask::embed::object();
    let object = env::var_os("OUT_DIR").map(|folder| Path::new(&folder).join(xtask::object::NAME));
    let Some(object) = object.filter(|object| object.is_file()) else { return embedded };
    match strip(&object) {
        Ok(()) => embedded,
        Err(error) => {
            println!("cargo::error=could not strip {}: {error}", object.display());
            ExitCode::FAILURE
        }
    }
}

/// Takes away what only a debugger reads: five sixths of the object, and most of the time that the loader reads it.
/// `.BTF`, which describes the maps, stays. `.BTF.ext` tells the verifier's log the lines of the sources; what it says
/// of functions the kernel needs for programs that call some of their own only, and none does.
fn strip(path: &Path) -> Result<(), Box<dyn Error>> {
    let bytes = fs::read(path)?;
    let mut object = Builder::read(bytes.as_slice())?;
    for section in &mut object.sections {
        let name = String::from_utf8_lossy(&section.name).into_owned();
        let name = name.strip_prefix(".rel").unwrap_or(&name);
        section.delete = name.starts_with(".debug_") || name == ".BTF.ext";
    }
    object.delete_orphans();
    // LLVM puts the names of sections among those of symbols, which this writer does not.
    let names = object.sections.add();
    names.name = b".shstrtab".as_slice().into();
    (names.sh_type, names.data) = (SHT_STRTAB, SectionData::SectionString);
    let mut stripped = Vec::new();
    object.write(&mut stripped)?;
    fs::write(path, stripped)?;
    Ok(())
}
