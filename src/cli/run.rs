//! `run`: a command under a profile, enforced by the kernel.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use clap::Args;

use super::input::{self, SourceOptions};
use super::output::{Console, Format, table};
use super::status::{Failure, Status};
use crate::enforce::{self, Plan, World};
use crate::runtime::policy::Policy;

/// Run a command under a profile, enforced by the kernel (Linux)
#[derive(Args)]
#[command(after_help = "Examples:
  sbtool run -f profile.sb -- make test
  sbtool run -p '(version 1)(allow default)(deny network*)' -- cargo build --offline
  sbtool run -f profile.sb -D HOME=\"$HOME\" --log denials.jsonl -- ./agent
  sbtool run -f profile.sb --explain

Where there is no such kernel, 'sbtool why' and 'sbtool probe' say what the profile decides.

Exit status: that of COMMAND, or its signal; 65 bad profile, 71 the profile cannot be applied or
COMMAND cannot be started")]
pub struct Options {
    /// The profile: SBPL text or a blob
    #[arg(short = 'f', value_name = "FILE", group = "what")]
    file: Option<String>,
    /// The profile's text
    #[arg(short = 'p', value_name = "TEXT", group = "what")]
    text: Option<String>,
    /// A profile of the system by name, such as no-network
    #[arg(short = 'n', value_name = "NAME", group = "what")]
    named: Option<String>,
    /// A compiled profile
    #[arg(long, value_name = "FILE", group = "what")]
    blob: Option<String>,
    #[command(flatten)]
    source: SourceOptions,
    /// Append denials there, a JSON object a line
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Give COMMAND a root in the shape of a Mac's: /tmp, /var and /etc lead into /private
    #[arg(long)]
    mac_root: bool,
    /// List what the profile says that has no meaning here, and what decides in the kernel; run nothing
    #[arg(long)]
    explain: bool,
    /// What --explain prints
    #[arg(long, value_enum, default_value_t = Format::Text, requires = "explain")]
    format: Format,
    /// The command and its arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND",
        required_unless_present = "explain"
    )]
    command: Vec<OsString>,
}

fn policy(options: &Options, console: &Console) -> Result<Policy, Failure> {
    let input = match (&options.file, &options.text, &options.named, &options.blob) {
        (Some(file), ..) | (.., Some(file)) => input::read(file)?,
        (_, Some(text), ..) => ("<input string>".to_owned(), text.clone().into_bytes()),
        (_, _, Some(name), _) => {
            let text = format!("(version 1)(import \"{}.sb\")", name.trim_end_matches(".sb"));
            (name.clone(), text.into_bytes())
        }
        _ => return Err(Failure::Usage("say which profile: -f FILE, -p TEXT, -n NAME or --blob FILE".to_owned())),
    };
    options.source.load_policy(input, console)
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    let policy = policy(options, console)?;
    if options.explain {
        return explain(&policy, options.format, console);
    }
    let [program, arguments @ ..] = options.command.as_slice() else {
        return Err(Failure::Usage("say which command".to_owned()));
    };
    let log = match &options.log {
        Some(path) => {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            let cannot = |source| Failure::CannotCreate { name: path.display().to_string(), source };
            Some(opened.map_err(cannot)?)
        }
        None => None,
    };
    let world = if options.mac_root { World::MacRoot } else { World::Host };
    let mut command = Command::new(program);
    command.args(arguments);
    match enforce::run(Plan { policy: Arc::new(policy), log, world }, command) {
        Ok(status) => end_as(status),
        Err(error) => Err(Failure::Refused(error.to_string())),
    }
}

/// Ends as a command did.
fn end_as(status: ExitStatus) -> Result<Status, Failure> {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        enforce::end_by(signal);
    }
    std::process::exit(status.code().unwrap_or(Status::Internal as i32))
}

/// What a profile says of an operation.
fn says(policy: &Policy, name: &str) -> &'static str {
    let Some(operation) = policy.release().operation(name) else { return "unknown" };
    let graph = policy.graph();
    let Some(entry) = graph.entry(operation) else { return "only in message filters" };
    let terminals = graph.terminals(entry).unwrap_or_default();
    let (allows, denies) = (terminals.iter().any(|one| !one.denies()), terminals.iter().any(|one| one.denies()));
    match (allows, denies) {
        (true, false) => "allow",
        (false, true) => "deny",
        _ => "it depends",
    }
}

fn explain(policy: &Policy, format: Format, console: &Console) -> Result<Status, Failure> {
    let enforced = enforce::operations();
    // Starred ones stand for others, but for those that are asked themselves.
    let shown = |name: &str| !name.ends_with('*') || enforced.contains_key(name);
    let rows = policy.release().operations().iter().map(|operation| operation.name.as_str()).filter(|name| shown(name));
    if format == Format::Json {
        let list: Vec<_> = rows
            .map(|name| {
                let calls = enforced.get(name);
                serde_json::json!({"operation": name, "enforced": calls.is_some(), "policy": says(policy, name), "calls": calls})
            })
            .collect();
        console.print_json(&serde_json::Value::from(list))?;
        return Ok(Status::Holds);
    }
    let lines = rows.map(|name| {
        let calls = enforced.get(name).map_or("nothing here".to_owned(), |calls| calls.join(" "));
        vec![name.to_owned(), says(policy, name).to_owned(), calls]
    });
    console.print(table(&["operation", "the profile says", "asked by"], lines.collect()))?;
    Ok(Status::Holds)
}
