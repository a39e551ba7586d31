//! In: two graphs of one release. Out: [`compare`]: for each operation whether both decide all
//! requests alike, and if not, answers by which they come apart. Never: a guess; what is not decided
//! within a number of steps, and 20 seconds, is said to be so.
//!
//! Equal terminals have equal flags (without the one that marks an inline modifier) and equal
//! modifiers; that the order of different modifiers says nothing is chosen. The graphs of a message
//! filter are compared the same way, as of requests of their own.
//!
//! What both graphs say becomes a formula (`solve`) over parts of tests (`parts`); a solver finds that no
//! answers lead to different terminals, or finds some. Whether those can be given by a request, and by
//! which, is told by the sets of values for which tests are true (`values`, `witness`).
//!
//! What is taken for granted:
//! - a filter that the grammar calls `single_valued` has one value or none, the contrary name filters
//!   one between them; of others each test may be true by a value of its own;
//! - a variable may hold anything, and each alternative with variables may be true or not, as long as a
//!   wider one is not false and its texts fit; a tree that commits to a branch with a variable is one
//!   such alternative as a whole; a variable holds one thing at a time, so of two that
//!   begin alike with it the rests must fit together;
//! - what a loader leaves is known by its key only; a test of it is another question behind another
//!   loader, and behind one that failed;
//! - a bit field's tests, state flags and profile flags say nothing about one another.

mod parts;
mod solve;
mod values;
mod witness;

use super::describe;
use super::graph::{Graph, Node, NodeId};
use super::meaning::Meanings;
use super::request::Request;
use crate::vocabulary::{OperationId, Release};
use solve::{Comparer, Outcome};

/// What two graphs decide otherwise.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Operations that are not known to be decided alike, ascending.
    pub operations: Vec<(OperationId, Difference)>,
}

impl Comparison {
    /// Whether it is sure that both decide every request alike.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.operations.is_empty()
    }

    /// The operations of which it is sure that they are decided otherwise.
    pub fn different(&self) -> impl Iterator<Item = (OperationId, &Difference)> {
        let decided = |(_, difference): &&(OperationId, Difference)| !matches!(difference, Difference::NotDecided);
        self.operations.iter().filter(decided).map(|(operation, difference)| (*operation, difference))
    }
}

/// How two graphs differ for one operation.
#[derive(Clone, Debug)]
pub enum Difference {
    /// By these answers they come to different terminals.
    Different(Box<Witness>),
    /// Only one of them has the operation.
    Missing,
    /// Not decided within the steps or the time that are given to a comparison, or since sets of strings
    /// are too complex; they may be the same or not.
    NotDecided,
}

/// Answers to tests by which two graphs come to different terminals.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The tests on the ways of both, in the order in which they were asked. A test that these decide
    /// is not listed.
    pub answers: Vec<Answer>,
    /// What the first and the second graph say: terminals as [`describe::terminal`] writes them.
    pub terminals: [String; 2],
    /// Where the terminals differ only in how a message is filtered: the message operation, and the
    /// answers about the message.
    pub message: Option<(OperationId, Box<Witness>)>,
    /// A request that the two were asked, and that each decided by its terminal; nothing where none
    /// could be made of the answers (those of variables, for instance, which have no value here).
    pub request: Option<Request>,
}

/// A test with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The test as [`describe::test`] writes it.
    pub test: String,
    /// Whether it is true.
    pub holds: bool,
}

impl Witness {
    /// The answers, one a line: `(test)` or `not (test)`; those about a message behind its operation.
    #[must_use]
    pub fn lines(&self, release: &Release) -> Vec<String> {
        let line = |answer: &Answer| if answer.holds { answer.test.clone() } else { format!("not {}", answer.test) };
        let mut out: Vec<String> = self.answers.iter().map(line).collect();
        if let Some((operation, inner)) = &self.message {
            out.push(format!("{}:", release.operation_name(*operation)));
            out.extend(inner.lines(release).into_iter().map(|line| format!("  {line}")));
        }
        out
    }
}

/// Compares what two graphs decide, operation by operation. Both are of one release.
///
/// Takes time about linear in the nodes where the graphs differ in few places; elsewhere it ends
/// after a number of steps or 20 seconds, see [`Difference::NotDecided`].
#[must_use]
pub fn compare(a: &Graph, b: &Graph) -> Comparison {
    let mut comparison = Comparison::default();
    let mut meanings = Meanings::new(a.release, true);
    let questions = [meanings.questions(a), meanings.questions(b)];
    let count = u16::try_from(a.entries.len().max(b.entries.len())).unwrap_or(u16::MAX);
    let numbers = [meanings.nodes(a, &questions[0]), meanings.nodes(b, &questions[1])];
    let mut comparer = Comparer::new(&meanings, [a, b], &numbers);
    for operation in (0..count).map(OperationId) {
        let entry = |side: usize| {
            let entry = [a, b].get(side)?.entry(operation)?;
            numbers.get(side)?.get(&entry).copied()
        };
        let difference = match [entry(0), entry(1)] {
            [Some(x), Some(y)] => match comparer.operation(operation, x, y) {
                Outcome::Same => continue,
                Outcome::Different(witness, _) => Difference::Different(witness),
                Outcome::NotDecided => Difference::NotDecided,
            },
            _ => Difference::Missing,
        };
        comparison.operations.push((operation, difference));
    }
    comparison
}

/// The terminal of a node as text.
fn terminal_text(graph: &Graph, id: Option<NodeId>) -> String {
    match id.and_then(|id| graph.node(id)) {
        Some(Node::Terminal(terminal)) => describe::terminal(graph, terminal),
        _ => String::new(),
    }
}
