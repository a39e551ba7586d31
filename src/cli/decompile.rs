//! `decompile`: SBPL of compiled profiles.

use std::collections::HashSet;
use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;

use super::input::{self, SourceOptions};
use super::output::{self, Console};
use super::status::{Failure, Status};
use crate::policy::collection::{Collection, Profile};
use crate::policy::equal::Difference;
use crate::policy::inline::inlined;
use crate::runtime::decompiled::{Decompiled, decompiled, verify};

/// Turn compiled profiles back into SBPL that compiles to the same policy
///
/// Rules that the compiler adds are left out, operations with the same rules share them, and what
/// SBPL cannot say is an error. With --verify the text is compiled again and each operation compared
/// over all requests.
#[derive(Args)]
#[command(after_help = "Examples:
  sbtool decompile profile.sb.bin
  sbtool decompile profile.sb.bin -o profile.sb --verify
  sbtool decompile --release ios-13 collection.bin --list
  sbtool decompile --release ios-13 collection.bin mobilemail
  sbtool decompile --release ios-13 collection.bin -d out --verify

Exit status: 0 done, 1 --verify found a difference or a profile has no text")]
pub struct Options {
    /// Compiled profile or collection; '-' is standard input
    #[arg(value_name = "BLOB")]
    blob: String,
    /// The profile of a collection that is wanted
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    source: SourceOptions,
    /// Write each profile to a file of its own there; the folder is made if it is missing
    #[arg(short = 'd', value_name = "DIR", conflicts_with_all = ["output", "list"])]
    folder: Option<PathBuf>,
    /// Write the text there
    #[arg(short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print the names of the profiles only
    #[arg(long, conflicts_with_all = ["verify", "output", "name"])]
    list: bool,
    /// Put what an extended profile says in place of its name
    #[arg(long)]
    inline: bool,
    /// Compile the text and compare; exit 1 if it does not mean the same
    #[arg(long)]
    verify: bool,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    let (file, bytes) = input::read(&options.blob)?;
    let (_, decoded) = options.source.load_blob((file.clone(), bytes), console)?;
    let collection = &decoded.collection;
    if options.list {
        let names = collection.profiles.iter().map(|profile| shown(&profile.name) + "\n");
        console.print(names.collect::<String>())?;
        return Ok(Status::Holds);
    }
    let wanted = options.name.as_ref().or(options.source.profile_name.as_ref());
    let profiles: Vec<&Profile> = match (wanted, collection.profiles.as_slice()) {
        (Some(name), _) => vec![options.source.pick(&file, &decoded, name)?],
        (None, [one]) if !collection.is_collection => vec![one],
        (None, all) if options.folder.is_some() || options.verify => all.iter().collect(),
        (None, all) => {
            let reason = format!(
                "is a collection of {} profiles; name one, see --list, or write all of them with -d DIR",
                all.len()
            );
            return Err(Failure::bad(file, reason));
        }
    };
    if let Some(folder) = &options.folder {
        let fail = |source| Failure::CannotCreate { name: folder.display().to_string(), source };
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    let single = profiles.len() == 1;
    let progress = if single { ProgressBar::hidden() } else { ProgressBar::new(profiles.len() as u64) };
    let mut names = HashSet::new();
    let mut failed = 0;
    for profile in &profiles {
        progress.inc(1);
        let profile = &whole(options, collection, profile)?;
        let name = if profile.name.is_empty() { file.clone() } else { shown(&profile.name) };
        let text = match decompiled(profile) {
            Ok(text) => text,
            Err(error) if single => return Err(Failure::bad(name, error)),
            Err(error) => {
                progress.suspend(|| console.error_line(&format!("{name}: {error}")));
                failed += 1;
                continue;
            }
        };
        match (&options.folder, single) {
            (Some(folder), _) => {
                output::write_file(&folder.join(file_name(&profile.name, &mut names)), text.text.as_bytes())?;
            }
            (None, true) => console.deliver(&text.text, options.output.as_ref())?,
            (None, false) => {}
        }
        if options.verify
            && let Some(lines) = differences(&name, profile, &text)
        {
            progress.suspend(|| lines.iter().for_each(|line| console.error_line(line)));
            failed += 1;
        }
    }
    progress.finish_and_clear();
    if !single || options.verify {
        let what = if options.verify { "verified" } else { "decompiled" };
        let count = profiles.len() - failed;
        console.error_line(&format!("{count} of {} {what}", count_of(profiles.len())));
    }
    Ok(if failed == 0 { Status::Holds } else { Status::DoesNotHold })
}

fn count_of(profiles: usize) -> String {
    if profiles == 1 { "1 profile".to_owned() } else { format!("{profiles} profiles") }
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// The profile, with what it extends in it where that is asked for.
fn whole(options: &Options, collection: &Collection, profile: &Profile) -> Result<Profile, Failure> {
    let mut whole = profile.clone();
    // Each base is taken in once; a circle would never end.
    let mut taken = HashSet::from([profile.name.clone()]);
    while options.inline
        && let Some(name) = whole.base.clone()
    {
        let base = collection.profile(&name).filter(|_| taken.insert(name.clone()));
        let Some(base) = base else {
            let reason = format!("it extends '{}', which is not in this collection or extends it again", shown(&name));
            return Err(Failure::bad(shown(&profile.name), reason));
        };
        whole = inlined(&whole, base);
    }
    Ok(whole)
}

/// What differs between a profile and its text; nothing if they are the same.
fn differences(name: &str, profile: &Profile, text: &Decompiled) -> Option<Vec<String>> {
    let verified = match verify(profile, text) {
        Ok(verified) if verified.holds() => return None,
        Ok(verified) => verified,
        Err(error) => return Some(vec![format!("{name}: {error}")]),
    };
    let release = profile.graph.release;
    let mut lines: Vec<String> = verified.other.iter().map(|what| format!("{name}: {what} differ")).collect();
    for (operation, difference) in &verified.comparison.operations {
        let operation = release.operation_name(*operation);
        match difference {
            Difference::Different(witness) => {
                let [blob, text] = &witness.terminals;
                lines.push(format!("{name}: {operation}: the blob says {blob}, its text {text}, for:"));
                lines.extend(witness.lines(release).into_iter().map(|line| format!("  {line}")));
            }
            Difference::Missing => lines.push(format!("{name}: {operation}: only one of the two has it")),
            Difference::NotDecided => {
                lines.push(format!("{name}: {operation}: too complex to be compared; not known to be the same"));
            }
        }
    }
    Some(lines)
}

/// A file name for a profile: what else a name may hold is written as `%xx`, so that a name from a
/// blob is no path. Names of one folder differ also where letters of either case are the same.
fn file_name(name: &[u8], taken: &mut HashSet<String>) -> String {
    let mut base = String::new();
    for (place, byte) in name.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'+' => base.push(char::from(*byte)),
            b'.' if place > 0 => base.push('.'),
            _ => base.push_str(&format!("%{byte:02x}")),
        }
    }
    if base.is_empty() {
        base.push_str("profile");
    }
    base.truncate(200);
    let mut out = base.clone();
    let mut count = 1;
    while !taken.insert(out.to_ascii_lowercase()) {
        count += 1;
        out = format!("{base}~{count}");
    }
    out + ".sb"
}
