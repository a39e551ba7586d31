//! In: results and diagnostics. Out: standard output, standard error, files that appear whole or
//! not at all. Never: half a file, a colour that nobody asked for, a panic on a closed pipe.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clap::builder::styling::{AnsiColor, Style};

use super::status::Failure;
use crate::files;
use crate::sbpl::Diagnostic;

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// `text` or `json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Where output goes, and whether it is coloured.
#[derive(Clone, Copy, Debug)]
pub struct Console {
    color_out: bool,
    color_err: bool,
    /// Colours also where no terminal is.
    forced: bool,
    quiet: bool,
}

impl Console {
    /// Decides about colours once.
    #[must_use]
    pub fn new(color: Color) -> Self {
        let wanted = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        Self {
            color_out: wanted(io::stdout().is_terminal()),
            color_err: wanted(io::stderr().is_terminal()),
            forced: color == Color::Always,
            quiet: false,
        }
    }

    /// The same without diagnostics, where the result itself holds them.
    #[must_use]
    pub fn quiet(self, quiet: bool) -> Self {
        Self { quiet, ..self }
    }

    /// The same for a result that goes to a file, if one is named: a file is no terminal.
    #[must_use]
    pub fn for_file(self, file: Option<&PathBuf>) -> Self {
        Self { color_out: if file.is_some() { self.forced } else { self.color_out }, ..self }
    }

    /// Text in a colour, if standard output has colours.
    #[must_use]
    pub fn paint(&self, text: &str, color: AnsiColor) -> String {
        if !self.color_out {
            return text.to_owned();
        }
        let style = Style::new().fg_color(Some(color.into()));
        format!("{style}{text}{style:#}")
    }

    /// Whether standard output has colours.
    #[must_use]
    pub fn has_color(&self) -> bool {
        self.color_out
    }

    /// Prints a diagnostic to standard error.
    pub fn diagnostic(&self, diagnostic: &Diagnostic) {
        if !self.quiet {
            self.error_line(&diagnostic.render(self.color_err));
        }
    }

    /// Prints a failure to standard error.
    pub fn failure(&self, failure: &Failure) {
        match failure {
            Failure::Profile(diagnostic) => self.diagnostic(diagnostic),
            Failure::ReaderGone => {}
            other => self.error_line(&format!("sbtool: {other}")),
        }
    }

    /// Prints a line to standard error. That it may be closed is no reason to stop.
    pub fn error_line(&self, line: &str) {
        let _ = writeln!(io::stderr(), "{line}");
    }

    /// Prints a result to standard output.
    ///
    /// # Errors
    /// Where it cannot be written; a closed pipe is told apart.
    pub fn print(&self, text: impl AsRef<[u8]>) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_ref()).and_then(|()| out.flush()).map_err(to_standard_output)
    }

    /// Writes a result as it is made, to standard output or to a file if one is named.
    ///
    /// # Errors
    /// As [`Console::print`] and [`write_file`].
    pub fn stream(
        &self,
        file: Option<&PathBuf>,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        if let Some(path) = file {
            return write_file_with(path, write);
        }
        let mut out = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
        write(&mut out).and_then(|()| out.flush()).map_err(to_standard_output)
    }

    /// Prints JSON to standard output.
    ///
    /// # Errors
    /// As [`Console::print`].
    pub fn print_json(&self, value: &impl serde::Serialize) -> Result<(), Failure> {
        self.print(json(value)?)
    }

    /// Prints a result, or writes it to a file if one is named.
    ///
    /// # Errors
    /// As [`Console::print`] and [`write_file`].
    pub fn deliver(&self, text: impl AsRef<[u8]>, file: Option<&PathBuf>) -> Result<(), Failure> {
        match file {
            Some(path) => write_file(path, text.as_ref()),
            None => self.print(text),
        }
    }
}

fn to_standard_output(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::CannotWrite { name: "standard output".to_owned(), source: error },
    }
}

/// JSON with a newline at its end.
///
/// # Errors
/// Never for the structs of this crate.
pub fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::Internal(error.to_string()))?;
    Ok(text + "\n")
}

/// Writes a file in one step: a failed run leaves the old file as it was.
///
/// # Errors
/// [`Failure::CannotCreate`], [`Failure::CannotWrite`].
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_file_with(path, |out| out.write_all(bytes))
}

/// As [`write_file`], for what is made as it is written.
///
/// # Errors
/// As [`write_file`].
pub fn write_file_with(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    Ok(files::replace_with(path, write)?)
}

/// A table whose columns align, without borders.
#[must_use]
pub fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header.iter().map(|name| (*name).to_owned()));
    for row in rows {
        table.add_row(row);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().trim_start_matches(' ').to_owned()).collect();
    lines.join("\n") + "\n"
}
