//! In: what a runner's process wrote and how it ended. Out: [`Observation`], with the runner's markers
//! apart from everything else. Never: what that means; `stage` says it.
//!
//! Markers come by a pipe of their own, which a program that the runner starts has not: what such a program
//! writes to its standard error is never taken for a marker. They stand on standard error as well, for people
//! and as RUNTIME.md part 2 has it.

use serde::{Deserialize, Serialize};

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tool {
    /// About the profile and about starting a program.
    #[serde(rename = "sbpl-apply")]
    Apply,
    /// About compiling the profile.
    #[serde(rename = "sbpl-compile")]
    Compile,
    /// About what was tried.
    #[serde(rename = "sbpl-probe")]
    Probe,
    /// About questions to `sandbox_check`.
    #[serde(rename = "seatbelt-callout")]
    Callout,
}

/// What a marker is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// How applying went.
    Apply,
    /// It is in force.
    Applied,
    /// Starting a program failed.
    Exec,
    /// How compiling went.
    Compile,
    /// How what was tried went.
    Probe,
    /// A question, before anything was tried.
    PreSyscall,
}

/// One line of JSON (RUNTIME.md part 2, "Markers"). What is not known is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Who says it.
    pub tool: Tool,
    /// 1, or 2 for a callout; absent means 0.
    #[serde(default)]
    pub marker_schema_version: u32,
    /// About what.
    pub stage: Step,
    /// `sbpl` or `blob`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Function that was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// What it returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rc: Option<i64>,
    /// The number that the system left behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// What the library says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errbuf: Option<String>,
    /// RUNTIME.md part 2, "Apply error class".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub err_class: Option<String>,
    /// What the class was told by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub err_class_source: Option<String>,
    /// The profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The program to start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argv0: Option<String>,
    /// The operation that was tried, or asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// What it was tried on, or asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argument: Option<String>,
    /// Number of the kind of subject of a question, with its flags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_type: Option<i64>,
    /// Name of that kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter_type_name: Option<String>,
    /// `raw` or `canonical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canonicalization: Option<String>,
    /// `allow`, `deny` or `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// The process.
    pub pid: u32,
}

impl Marker {
    /// One about this step of this process.
    #[must_use]
    pub fn new(tool: Tool, stage: Step) -> Self {
        Self {
            tool,
            marker_schema_version: if tool == Tool::Callout { 2 } else { 1 },
            stage,
            mode: None,
            api: None,
            rc: None,
            errno: None,
            errbuf: None,
            err_class: None,
            err_class_source: None,
            profile: None,
            argv0: None,
            operation: None,
            argument: None,
            check_type: None,
            filter_type_name: None,
            canonicalization: None,
            decision: None,
            pid: std::process::id(),
        }
    }

    /// With how applying went, and the class of that (RUNTIME.md part 2, "Apply error class").
    #[must_use]
    pub fn classed(mut self, rc: i64, errno: i32, errbuf: Option<String>) -> Self {
        let says_already = errbuf.as_deref().is_some_and(says_already);
        let (class, source) = match errno {
            _ if rc == 0 => ("ok", "none"),
            _ if says_already => ("already_sandboxed", "errbuf_regex"),
            1 => ("errno_eperm", "errno_only"),
            13 => ("errno_eacces", "errno_only"),
            0 => ("unknown", if errbuf.is_some() { "errbuf_present" } else { "none" }),
            _ => ("errno_other", "errno_only"),
        };
        (self.rc, self.errno, self.errbuf) = (Some(rc), Some(errno), errbuf);
        (self.err_class, self.err_class_source) = (Some(class.to_owned()), Some(source.to_owned()));
        self
    }

    /// Whether it says that the process was under a profile before.
    #[must_use]
    pub fn is_already_sandboxed(&self) -> bool {
        self.err_class.as_deref() == Some("already_sandboxed") || self.errbuf.as_deref().is_some_and(says_already)
    }

    /// Its line.
    #[must_use]
    pub fn line(&self) -> String {
        // A struct with string keys has JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn says_already(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("already") && text.contains("sandbox")
}

/// What a runner said about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Markers {
    /// In order.
    pub list: Vec<Marker>,
}

impl Markers {
    /// Reads what came by the pipe of markers. A line that is none, or was cut short, is left out.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let lines = bytes.split(|byte| *byte == b'\n');
        Self { list: lines.filter_map(|line| serde_json::from_slice(line).ok()).collect() }
    }

    fn last(&self, stage: Step) -> Option<&Marker> {
        self.list.iter().rev().find(|marker| marker.stage == stage)
    }

    /// How applying went.
    #[must_use]
    pub fn apply(&self) -> Option<&Marker> {
        self.last(Step::Apply)
    }

    /// Whether the profile was in force.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        self.last(Step::Applied).is_some()
    }

    /// The error number of a step that failed.
    #[must_use]
    pub fn failed(&self, step: Step) -> Option<i32> {
        self.last(step).filter(|marker| marker.rc != Some(0))?.errno
    }

    /// What a call of a step returned that failed and leaves no error number: the code, and whether that is a
    /// denial.
    #[must_use]
    pub fn returned(&self, step: Step) -> Option<(i64, bool)> {
        let marker = self.last(step).filter(|marker| marker.errno.is_none())?;
        let code = marker.rc.filter(|code| *code != 0)?;
        Some((code, marker.decision.as_deref() == Some("deny")))
    }

    /// Answers of `sandbox_check`.
    #[must_use]
    pub fn callouts(&self) -> Vec<&Marker> {
        self.list.iter().filter(|marker| marker.tool == Tool::Callout).collect()
    }
}

/// How a runner ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It was ended: it took too long.
    Timeout,
    /// It did not start: this error number.
    NotStarted(i32),
}

impl Exit {
    /// The number that RUNTIME.md has: a signal is negative.
    #[must_use]
    pub fn number(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal(signal) => Some(-signal),
            Self::Timeout | Self::NotStarted(_) => None,
        }
    }
}

/// Where an object that was opened really is: the runner's `F_GETPATH` lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenedPath {
    /// `F_GETPATH`: a path, or an error number.
    pub path: Option<Result<String, i32>>,
    /// `F_GETPATH_NOFIRMLINK`.
    pub without_firmlinks: Option<Result<String, i32>>,
}

impl OpenedPath {
    /// Reads the lines of a runner's standard error.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut out = Self::default();
        let error = |text: &str| Err(text.parse().unwrap_or(0));
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("F_GETPATH_NOFIRMLINK:") {
                out.without_firmlinks = Some(Ok(rest.to_owned()));
            } else if let Some(rest) = line.strip_prefix("F_GETPATH_NOFIRMLINK_ERROR:") {
                out.without_firmlinks = Some(error(rest));
            } else if let Some(rest) = line.strip_prefix("F_GETPATH:") {
                out.path = Some(Ok(rest.to_owned()));
            } else if let Some(rest) = line.strip_prefix("F_GETPATH_ERROR:") {
                out.path = Some(error(rest));
            }
        }
        out
    }
}

/// What was seen of one runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Its name: `reader`, `writer`, `metadata`, `runner`, …
    pub runner: &'static str,
    /// Whether it starts a program that does what is asked for, instead of doing it itself.
    pub starts_program: bool,
    /// Its command line.
    pub command: Vec<String>,
    /// How it ended.
    pub exit: Exit,
    /// Standard output, cut at a bound.
    pub stdout: String,
    /// Standard error, cut at a bound, markers included.
    pub stderr: String,
    /// Bytes of both that were dropped.
    pub dropped: u64,
    /// What it said by the pipe of markers.
    pub markers: Markers,
    /// Where the object that it opened is.
    pub opened: OpenedPath,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
}

impl Observation {
    /// Standard error without markers.
    #[must_use]
    pub fn stderr_without_markers(&self) -> String {
        let is_marker = |line: &&str| !(line.starts_with('{') && serde_json::from_str::<Marker>(line).is_ok());
        let lines: Vec<&str> = self.stderr.lines().filter(is_marker).collect();
        if lines.is_empty() { String::new() } else { lines.join("\n") + "\n" }
    }
}
