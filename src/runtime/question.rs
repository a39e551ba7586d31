//! In: a policy, an operation, its subject and what else is known. Out: [`Reply`]: every check
//! that the kernel would make, and the one that decides. Never: access to real files.

use super::policy::{Answer, AnswerError, Policy};
use super::world::{WalkError, World};
use crate::policy::request::{Request, RequestError, address, subject_filter};
use crate::policy::rules::Action;
use crate::vocabulary::{OperationId, Release};

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Name of the operation.
    pub operation: &'a str,
    /// What it is about: a path, a name, an address.
    pub subject: Option<&'a str>,
    /// `FILTER=VALUE` for everything else.
    pub facts: &'a [String],
}

/// One check of the kernel.
#[derive(Clone, Debug)]
pub struct Check {
    /// The operation checked.
    pub operation: OperationId,
    /// The path or name it is checked for.
    pub subject: Option<String>,
    /// A symlink on the way, not the thing asked about.
    pub is_crossing: bool,
    /// The answer.
    pub answer: Answer,
}

/// All checks in order, up to the first denial.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Checks; the last one decides.
    pub checks: Vec<Check>,
}

/// Why a question has no reply.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// No such operation.
    #[error("unknown operation '{name}'{hint}")]
    UnknownOperation {
        /// What was asked for.
        name: String,
        /// What may have been meant, or empty.
        hint: String,
    },
    /// The subject or a fact cannot be understood.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The path leads nowhere.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The policy has no answer.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// A rule tells protocols apart and the question does not.
    #[error("the verdict depends on the protocol: ask for {choices}")]
    Protocol {
        /// Those that the question leaves open.
        choices: String,
    },
}

impl Reply {
    /// The check that decides. There is always one.
    #[must_use]
    pub fn deciding(&self) -> Option<&Check> {
        self.checks.last()
    }

    /// Allow or deny.
    #[must_use]
    pub fn action(&self) -> Action {
        self.deciding().map_or(Action::Deny, |check| check.answer.action)
    }
}

/// The operation that a probe asks for: the check interface has no starred ones, so `file-read*`
/// is asked as `file-read-data` and `file-write*` as `file-write-data` (COMPILER.md §10).
#[must_use]
pub fn probed_operation(name: &str) -> &str {
    match name {
        "file-read*" => "file-read-data",
        "file-write*" => "file-write-data",
        other => other,
    }
}

/// The operation of this name.
///
/// # Errors
/// Where there is none, with what may have been meant.
pub fn operation(release: &Release, name: &str) -> Result<OperationId, QuestionError> {
    release.operation(name).ok_or_else(|| {
        let starred = format!("{name}*");
        let alias = release.operation_aliases().iter().find(|alias| alias.name == name);
        let hint = match (release.operation(&starred), alias) {
            (_, Some(alias)) => format!("; it is '{}' here", alias.operation),
            (Some(_), None) => format!("; did you mean '{starred}'?"),
            _ => format!("; 'sbtool vocabulary operations --release {}' lists them", release.name()),
        };
        QuestionError::UnknownOperation { name: name.to_owned(), hint }
    })
}

/// Asks a policy. A path is walked first: each symlink on the way needs file-read-metadata on its
/// own path, then the operation is checked on the resolved path (RUNTIME.md part 3).
///
/// # Errors
/// [`QuestionError`].
pub fn ask(policy: &Policy, world: &World, question: &Question<'_>) -> Result<Reply, QuestionError> {
    let release = policy.release();
    let name = question.operation;
    let operation = operation(release, name)?;
    let mut request = Request::new(operation);
    for fact in question.facts {
        request.add_fact(release, fact)?;
    }
    let mut checks = Vec::new();
    let mut shown = question.subject.map(str::to_owned);
    if let Some(subject) = question.subject {
        let kind = subject_filter(name).ok_or_else(|| RequestError::NoSubject(name.to_owned()))?;
        let filter = release.filter_named(kind).ok_or_else(|| RequestError::UnknownFilter(kind.to_owned()))?;
        let is_network = matches!(kind, "remote" | "local");
        if kind == "path" || (is_network && subject.starts_with('/')) {
            let path = release.filter_named("path").ok_or_else(|| RequestError::UnknownFilter("path".to_owned()))?;
            let walk = world.walk(subject)?;
            if let Some(metadata) = release.operation("file-read-metadata") {
                for link in &walk.crossed {
                    let mut crossing = Request::new(metadata);
                    crossing.add_text(release, path.id, link.as_bytes())?;
                    for fact in question.facts {
                        crossing.add_fact(release, fact)?;
                    }
                    if !crossing_knows_type(&crossing, release) {
                        crossing.add_fact(release, "vnode-type=SYMLINK")?;
                    }
                    let answer = policy.answer(&crossing)?;
                    let denied = answer.action.denies();
                    checks.push(Check { operation: metadata, subject: Some(link.clone()), is_crossing: true, answer });
                    if denied {
                        return Ok(Reply { checks });
                    }
                }
            }
            request.add_text(release, path.id, walk.resolved.as_bytes())?;
            shown = Some(walk.resolved);
        } else if is_network {
            let address = address(subject).ok_or_else(|| RequestError::BadValue {
                filter: kind.to_owned(),
                value: subject.to_owned(),
                expected: "PROTOCOL:HOST:PORT, for instance tcp:localhost:80, or a path",
            })?;
            request.add_address(release, filter.id, address)?;
        } else {
            request.add_fact(release, &format!("{kind}={subject}"))?;
        }
    }
    let answer = agreed(policy, &request)?;
    checks.push(Check { operation, subject: shown, is_crossing: false, answer });
    Ok(Reply { checks })
}

fn crossing_knows_type(request: &Request, release: &crate::vocabulary::Release) -> bool {
    release.filter_named("vnode-type").is_none_or(|filter| request.knows(filter.id))
}

/// A real connection is IPv4 or IPv6, and TCP, UDP or something else. Where the question leaves
/// that open, in its subject or in a fact, all are asked, and they must agree.
fn agreed(policy: &Policy, request: &Request) -> Result<Answer, QuestionError> {
    let mut first: Option<Answer> = None;
    for meant in request.meanings() {
        let answer = policy.answer(&meant)?;
        match &first {
            Some(known) if known.action.denies() != answer.action.denies() => {
                return Err(QuestionError::Protocol { choices: request.open_protocols() });
            }
            Some(_) => {}
            None => first = Some(answer),
        }
    }
    match first {
        Some(answer) => Ok(answer),
        None => Ok(policy.answer(request)?),
    }
}
