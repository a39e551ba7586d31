//! `compile`: SBPL to Apple's binary format.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use sha2::{Digest, Sha256};

use super::input::{self, Loaded, ProfileOption, SourceOptions};
use super::output::{self, Console, Format, table};
use super::status::{Failure, Status};
use crate::blob;
use crate::library::{Library, LibraryError};
use crate::policy::collection::{Collection, Profile};
use crate::policy::passes::Passes;
use crate::runtime::hex;
use crate::runtime::limits;

/// Who compiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Compiler {
    /// sbtool itself, on any operating system.
    Builtin,
    /// The system's own library on macOS, or the one that SBTOOL_LIBSANDBOX names.
    Libsandbox,
}

/// A pass that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Pass {
    /// Skipping of tests whose outcome is known.
    Thread,
    /// Order of conjunctions by cost.
    Sort,
    /// Merging of neighbouring string tests.
    Merge,
    /// Pattern programs instead of regex objects for simple expressions.
    Lower,
}

/// Compile a profile to the bytes that Apple's compiler makes of it
#[derive(Args)]
#[command(after_help = "Examples:
  sbtool compile profile.sb -o profile.sb.bin
  sbtool compile -p '(version 1)(allow default)' | sha256sum
  sbtool compile --format json profile.sb -o profile.sb.bin
  sbtool compile --stats profile.sb -o profile.sb.bin
  sbtool compile --release ios-17 --collection a.sb b.sb c.sb -o all.bin
  SBTOOL_LIBSANDBOX=./libsandbox.so sbtool compile --compiler libsandbox a.sb -o a.sb.bin

A bad profile leaves an old output file as it was.")]
pub struct Options {
    #[command(flatten)]
    profile: ProfileOption,
    #[command(flatten)]
    source: SourceOptions,
    /// Write the blob there; standard output if it is no terminal
    #[arg(short = 'o', value_name = "BLOB")]
    output: Option<PathBuf>,
    /// Compile several profiles into one collection; each is named after its file
    #[arg(long, conflicts_with = "text")]
    collection: bool,
    /// More profiles of the collection
    #[arg(value_name = "MORE", requires = "collection")]
    more: Vec<String>,
    /// Print how close the blob is to the limits of its format
    #[arg(long)]
    stats: bool,
    /// Who compiles. libsandbox compiles for the release it belongs to; --release is then how its blob is read
    #[arg(long, value_enum, default_value_t = Compiler::Builtin)]
    compiler: Compiler,
    /// Leave a pass out, to see what it does; the result means the same
    #[arg(long, value_enum, value_name = "NAME")]
    no_pass: Vec<Pass>,
    /// What to print about the blob; json needs -o
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    if options.output.is_none() && options.format == Format::Json {
        return Err(Failure::Usage("--format json prints about the blob; say where the blob goes with -o".to_owned()));
    }
    if options.output.is_none() && std::io::stdout().is_terminal() {
        return Err(Failure::Usage("a blob is no text for a terminal; say where it goes with -o".to_owned()));
    }
    let blob = match options.compiler {
        Compiler::Builtin => builtin(options, console)?,
        Compiler::Libsandbox => by_library(options)?,
    };
    let release = options.source.release.get()?;
    // The bytes of a library may be of another release.
    let decoded = || match options.compiler {
        Compiler::Builtin => blob::decode(&blob, release).map_err(|error| Failure::Internal(error.to_string())),
        Compiler::Libsandbox => input::decode("the blob of libsandbox", &blob, release, console),
    };
    match &options.output {
        Some(path) => output::write_file(path, &blob)?,
        None => console.print(&blob)?,
    }
    if let (Format::Json, Some(path)) = (options.format, &options.output) {
        let decoded = decoded()?;
        let mut about = serde_json::json!({
            "blob": path.display().to_string(),
            "length": blob.len(),
            "sha256": hex(&Sha256::digest(&blob)),
            "nodes": decoded.graph.nodes.len(),
            "operations": decoded.graph.entries.len(),
            "profiles": decoded.collection.profiles.len(),
            "release": decoded.graph.release.name(),
        });
        if options.stats {
            let list: Vec<_> = limits::usage(&decoded)
                .into_iter()
                .map(|usage| serde_json::json!({"what": usage.what, "used": usage.used, "limit": usage.limit}))
                .collect();
            about["stats"] = list.into();
        }
        console.print_json(&about)?;
    } else if options.stats {
        let rows = limits::usage(&decoded()?).into_iter().map(|usage| {
            let tenths = usage.used * 1000 / usage.limit;
            vec![
                usage.what,
                usage.used.to_string(),
                usage.limit.to_string(),
                format!("{}.{} %", tenths / 10, tenths % 10),
            ]
        });
        let shown = table(&["what", "used", "limit", "share"], rows.collect());
        // The blob may be on standard output.
        match options.output {
            Some(_) => console.print(shown)?,
            None => console.error_line(shown.trim_end()),
        }
    }
    Ok(Status::Holds)
}

/// The blob that sbtool itself makes.
fn builtin(options: &Options, console: &Console) -> Result<Vec<u8>, Failure> {
    let left_out = |pass| options.no_pass.contains(&pass);
    let passes = Passes {
        thread: !left_out(Pass::Thread),
        sort: !left_out(Pass::Sort),
        merge: !left_out(Pass::Merge),
        lower_regexes: !left_out(Pass::Lower),
    };
    let evaluate = |input: (String, Vec<u8>)| {
        let name = input.0.clone();
        match options.source.load(input, console)? {
            Loaded::Source(evaluated) => Ok((name, evaluated)),
            Loaded::Blob(..) => Err(Failure::bad(name, "is compiled already")),
        }
    };
    if options.collection {
        let files = options.profile.profile.iter().chain(&options.more);
        let mut profiles = Vec::new();
        for file in files {
            let (name, evaluated) = evaluate(input::read(file)?)?;
            // Each has to fit alone, and is named in the message if it does not.
            let (_, graph) = input::compile(&name, &evaluated, passes)?;
            let stem = Path::new(file).file_stem().map_or(file.as_str().into(), |stem| stem.to_string_lossy());
            let base = evaluated.rules.base.clone();
            profiles.push(Profile { base, ..Profile::new(stem.as_bytes(), graph) });
        }
        let collection = Collection::of(profiles).map_err(|error| Failure::bad("the collection".to_owned(), error))?;
        blob::encode_collection(&collection).map_err(|error| Failure::bad("the collection".to_owned(), error))
    } else {
        let (name, evaluated) = evaluate(options.profile.read()?)?;
        if let Some(base) = &evaluated.rules.base {
            let base = String::from_utf8_lossy(base);
            let reason = format!(
                "extends '{base}'; where a profile alone keeps that name is not known, so compile it with --collection"
            );
            return Err(Failure::bad(name, reason));
        }
        Ok(input::compile(&name, &evaluated, passes)?.0)
    }
}

/// The blob that a libsandbox makes. What that has no way to be told is refused.
fn by_library(options: &Options) -> Result<Vec<u8>, Failure> {
    let source = &options.source;
    let cannot = [
        (options.collection, "--collection"),
        (!options.no_pass.is_empty(), "--no-pass"),
        (!source.imports.is_empty(), "-I (use -D IMPORT_DIR=DIR)"),
        (source.entitlements.is_some(), "--entitlements"),
        (source.no_stand_ins, "--no-stand-ins"),
        (source.profile_name.is_some(), "--profile-name"),
    ];
    if let Some((_, option)) = cannot.iter().find(|(given, _)| *given) {
        return Err(Failure::Usage(format!("--compiler libsandbox cannot be told about {option}")));
    }
    let (name, bytes) = options.profile.read()?;
    if blob::is_blob(&bytes) {
        return Err(Failure::bad(name, "is compiled already"));
    }
    let failure = |error: LibraryError| match error {
        LibraryError::Missing { path, source } => Failure::NoInput { name: path.display().to_string(), source },
        LibraryError::Nul { .. } | LibraryError::Refused { .. } => Failure::bad(&name, error),
        _ => Failure::Refused(error.to_string()),
    };
    let library = Library::open().map_err(failure)?;
    let parameters = match source.parameters.as_slice() {
        [] => None,
        list => Some(library.parameters(list).map_err(failure)?),
    };
    let profile = match &options.profile.profile {
        // Its messages name the file.
        Some(file) if file != "-" => library.compile_file(Path::new(file), parameters.as_ref()),
        _ => library.compile_string(&bytes, parameters.as_ref()),
    };
    let profile = profile.map_err(failure)?;
    Ok(profile.bytes().map_err(failure)?.to_vec())
}
