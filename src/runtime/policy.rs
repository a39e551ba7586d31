//! In: an evaluated source, or a decoded blob. Out: [`Policy`], which answers for both: verdict,
//! what decided, and the way there. Never: paths or other knowledge about a running system.

use crate::policy::describe;
use crate::policy::gate::{self, Finding};
use crate::policy::graph::{Graph, ModifierArgument};
use crate::policy::passes::{BuildError, Passes, build};
use crate::policy::reference::{Decider, Reference};
use crate::policy::request::Request;
use crate::policy::rules::{Action, Rule, Rules};
use crate::policy::verdict::{self, VerdictError};
use crate::vocabulary::{OperationId, Release};

/// What decides requests.
pub struct Policy {
    graph: Graph,
    rules: Option<Reference>,
}

/// What kind of thing decided (CLI.md, `why`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A rule of the operation.
    Rule,
    /// The default: a rule on `default`, or the table.
    Default,
    /// A rule that the compiler adds.
    Implicit,
    /// A rule of an operation that this one inherits from.
    Inherited,
}

impl By {
    /// The word in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Default => "default",
            Self::Implicit => "implicit",
            Self::Inherited => "inherited",
        }
    }
}

/// The rule that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidingRule {
    /// File, line, column; nothing for a blob.
    pub place: Option<crate::policy::rules::Place>,
    /// Its text; for a blob the test that decided.
    pub text: String,
    /// The operation whose rule it is.
    pub operation: OperationId,
}

/// One question on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The test as SBPL.
    pub test: String,
    /// The filter asked about.
    pub filter: String,
    /// The answer.
    pub holds: bool,
    /// Nothing was known about it.
    pub assumed: bool,
}

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Allow or deny.
    pub action: Action,
    /// What kind of thing decided.
    pub by: By,
    /// Which rule, if one did.
    pub rule: Option<DecidingRule>,
    /// Modifiers in force, as SBPL.
    pub modifiers: Vec<String>,
    /// The error number that a denial gives, a Mac's, where the rule names one.
    pub errno: Option<i32>,
    /// The questions, in order.
    pub consulted: Vec<Step>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// No verdict.
    #[error(transparent)]
    Verdict(#[from] VerdictError),
    /// The graph and the plain reading of the rules disagree: a bug in sbtool.
    #[error("the policy graph says {graph} and the rules say {rules} for {operation}; please report this profile")]
    Disagreement {
        /// By the graph.
        graph: &'static str,
        /// By the rules.
        rules: &'static str,
        /// The operation.
        operation: String,
    },
}

impl Policy {
    /// The policy of an evaluated source.
    ///
    /// # Errors
    /// Where the rules have no graph.
    pub fn of_rules(rules: Rules) -> Result<Self, BuildError> {
        let graph = build(&rules, Passes::default())?;
        let rules = Reference::new(rules)
            .map_err(|error| BuildError::Regex { text: error.text, reason: error.reason.to_string() })?;
        Ok(Self { graph, rules: Some(rules) })
    }

    /// The policy of a decoded blob.
    #[must_use]
    pub fn of_graph(graph: Graph) -> Self {
        Self { graph, rules: None }
    }

    /// Its graph.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Its release.
    #[must_use]
    pub fn release(&self) -> &'static Release {
        self.graph.release
    }

    /// What would keep it from being applied.
    #[must_use]
    pub fn gate(&self) -> Vec<Finding> {
        match &self.rules {
            Some(reference) => gate::of_rules(reference.rules()),
            None => gate::of_graph(&self.graph),
        }
    }

    /// Answers a request. The verdict is the graph's; for a source the rules are read as well, to
    /// name the rule, and the two must agree.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn answer(&self, request: &Request) -> Result<Answer, AnswerError> {
        let verdict = verdict::explain(&self.graph, request)?;
        let action = if verdict.denies() { Action::Deny } else { Action::Allow };
        let consulted: Vec<Step> = verdict
            .consulted
            .iter()
            .map(|step| Step {
                test: describe::test(&self.graph, step.test),
                filter: self.release().filter_name(step.test.filter).into_owned(),
                holds: step.holds,
                assumed: step.assumed,
            })
            .collect();
        let modifiers = describe::modifiers(&self.graph, verdict.terminal);
        let errno = verdict.terminal.modifiers.iter().find_map(|modifier| match modifier.argument {
            ModifierArgument::Number(number)
                if self.release().modifier(modifier.id).is_some_and(|entry| entry.name == "errno") =>
            {
                Some(i32::from(number))
            }
            _ => None,
        });
        let Some(reference) = &self.rules else {
            let rule = self.deciding_test(request, &verdict)?.map(|text| DecidingRule {
                place: None,
                text,
                operation: request.operation,
            });
            let by = if rule.is_some() { By::Rule } else { By::Default };
            return Ok(Answer { action, by, rule, modifiers, errno, consulted });
        };
        let decision = reference.decide(request);
        if decision.action != action {
            return Err(AnswerError::Disagreement {
                graph: action.name(),
                rules: decision.action.name(),
                operation: self.release().operation_name(request.operation).into_owned(),
            });
        }
        let deciding = |rule: &Rule| DecidingRule {
            place: rule.origin.place.clone(),
            text: rule.origin.text.clone(),
            operation: decision.operation,
        };
        let (by, rule) = match decision.decider {
            Decider::Implicit => (By::Implicit, None),
            Decider::Table => (By::Default, None),
            Decider::Rule(rule) | Decider::Tail(rule) => {
                let by = match decision.operation {
                    operation if operation == request.operation => By::Rule,
                    OperationId::DEFAULT => By::Default,
                    _ => By::Inherited,
                };
                (by, Some(deciding(rule)))
            }
        };
        Ok(Answer { action, by, rule, modifiers, errno, consulted })
    }

    /// The test of a blob that stands for the rule: the last one asked. If it failed, and the walk
    /// ended where it ends when nothing matches, the default decided.
    fn deciding_test(&self, request: &Request, verdict: &verdict::Verdict<'_>) -> Result<Option<String>, VerdictError> {
        let Some(last) = verdict.consulted.last() else { return Ok(None) };
        let text = describe::test(&self.graph, last.test);
        if last.holds {
            return Ok(Some(text));
        }
        let default = verdict::explain(&self.graph, &Request::new(request.operation))?;
        Ok((default.node != verdict.node).then(|| format!("(require-not {text})")))
    }
}
