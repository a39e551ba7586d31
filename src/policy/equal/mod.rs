//! In: two graphs of one release. Out: [`compare`]: for each operation whether both decide all
//! requests alike, and if not, answers by which they come apart; [`Facts`]: what one test says about
//! another one. Never: a guess; what is not decided within a number of steps is said to be so.
//!
//! Equal terminals have equal flags (without the one that marks an inline modifier) and equal
//! modifiers; that the order of different modifiers says nothing is chosen. The graphs of a message
//! filter are compared the same way, as of requests of their own.
//!
//! First each filter's values are sorted into cases by the tests that they pass, and both graphs are
//! compared in each (`cases`): that proves most operations the same. What is left is walked (`walk`).
//!
//! Both graphs are walked at once. A pair of nodes that mean the same is done; else the node that has
//! more before it is asked, and both sides go on by the answer. First each pair is looked at once, as if
//! answers said nothing about one another: from most of them no different ends can be reached. The rest
//! is walked with what is known. Answers on the way decide other tests: the same one; on a filter that
//! has one value at a time all that excludes the value or is implied by it. Where the ways end
//! differently it is looked whether all answers can be true together, by the sets of values of each
//! filter: if so, that is a difference; if not, the few answers that cannot are kept, and the walk goes
//! back to the last of them. What is found the same is remembered with the answers that it rests on.
//! So the work is about linear where graphs differ in few places.
//!
//! What is taken for granted:
//! - a filter that the grammar calls `single_valued` has one value or none, the contrary name filters
//!   one between them; of others each test may be true by a value of its own;
//! - a variable may hold anything, and each alternative with variables may be true or not, as long as a
//!   wider one is not false and its texts fit; a variable holds one thing at a time, so of two that
//!   begin alike with it the rests must fit together;
//! - what a loader leaves is known by its key only; a test of it is another question behind another
//!   loader, and behind one that failed;
//! - a bit field's tests, state flags and profile flags say nothing about one another.

mod cases;
mod values;
mod walk;

use std::collections::HashMap;
use std::sync::Arc;

use super::describe;
use super::graph::{Argument, Graph, Node, NodeId, Test};
use super::meaning::Meanings;
use super::request::Request;
use crate::pattern::regex::Automaton;
use crate::pattern::tree::Tree;
use crate::vocabulary::{FilterId, OperationId, Release};
use cases::Cases;
use values::{Form, Relations};
use walk::{Outcome, Walker};

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
    /// Not decided within the steps that are given to a comparison, or since sets of strings are too
    /// complex; they may be the same or not.
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
/// Takes time about linear in the nodes where the graphs differ in few places; elsewhere each
/// operation gets a number of steps that is linear in them, see [`Difference::NotDecided`].
#[must_use]
pub fn compare(a: &Graph, b: &Graph) -> Comparison {
    let mut comparison = Comparison::default();
    let mut meanings = Meanings::new(a.release, true);
    let mut questions = [meanings.questions(a), meanings.questions(b)];
    let mut relations = Relations::new(a.release);
    for sample in &meanings.samples {
        relations.add(sample.test.clone());
    }
    let count = u16::try_from(a.entries.len().max(b.entries.len())).unwrap_or(u16::MAX);
    let numbers = [meanings.nodes(a, &questions[0]), meanings.nodes(b, &questions[1])];
    let entry = |side: usize, numbers: &[HashMap<NodeId, u32>; 2], operation| {
        let entry = [a, b].get(side)?.entry(operation)?;
        numbers.get(side)?.get(&entry).copied()
    };
    // Most are found the same without a look at how they could differ.
    let mut cases = Cases::new(&meanings, relations);
    let mut proven = |operation: &OperationId| match [0, 1].map(|side| entry(side, &numbers, *operation)) {
        [Some(x), Some(y)] => cases.same(x, y),
        _ => false,
    };
    let mut left: Vec<OperationId> = (0..count).map(OperationId).collect();
    left.retain(|operation| !proven(operation));
    if left.is_empty() {
        return comparison;
    }
    let mut relations = cases.relations;
    join_forms(&meanings, &mut relations, &mut questions);
    let numbers = [meanings.nodes(a, &questions[0]), meanings.nodes(b, &questions[1])];
    let mut walker = Walker::new(&meanings, relations, [a, b], &numbers);
    for operation in left {
        let difference = match [0, 1].map(|side| entry(side, &numbers, operation)) {
            [Some(x), Some(y)] => match walker.operation(operation, x, y) {
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

/// Gives tests one number that are true for the same values, where only one of the graphs asks them as
/// they are written.
fn join_forms(meanings: &Meanings, relations: &mut Relations, questions: &mut [HashMap<NodeId, u32>; 2]) {
    let mut asked = vec![[false; 2]; meanings.samples.len()];
    for (side, questions) in questions.iter().enumerate() {
        for question in questions.values() {
            if let Some(asked) = asked.get_mut(*question as usize) {
                asked[side] = true;
            }
        }
    }
    // By filter, whether both graphs ask it for something that the other does not.
    let mut alone: HashMap<FilterId, [bool; 2]> = HashMap::new();
    let one_sided = |asked: &[bool; 2]| asked[0] != asked[1];
    for (sample, asked) in meanings.samples.iter().zip(&asked).filter(|(_, asked)| one_sided(asked)) {
        let alone = alone.entry(sample.test.filter).or_default();
        alone[usize::from(asked[1])] = true;
    }
    let mut forms: HashMap<(FilterId, Form), u32> = HashMap::new();
    let mut joined: HashMap<u32, u32> = HashMap::new();
    for ((number, sample), asked) in (0u32..).zip(&meanings.samples).zip(&asked) {
        if one_sided(asked)
            && alone.get(&sample.test.filter) == Some(&[true, true])
            && let Some(form) = relations.form(number)
        {
            let first = *forms.entry((sample.test.filter, form)).or_insert(number);
            if first != number {
                joined.insert(number, first);
            }
        }
    }
    for question in questions.iter_mut().flat_map(HashMap::values_mut) {
        if let Some(first) = joined.get(question) {
            *question = *first;
        }
    }
}

/// What one test of a graph says about another one, with a memory. Patterns and regular expressions
/// are known by the object that nodes share.
pub struct Facts {
    relations: Relations,
    /// Tests that have a number; those of shared objects by filter and address.
    objects: HashMap<(FilterId, usize), u32>,
    tests: HashMap<Test, u32>,
    /// Keeps the objects, so that no other one comes to have their address.
    kept: Vec<Kept>,
}

#[allow(dead_code, reason = "what is kept is not read")]
enum Kept {
    Tree(Arc<Tree>),
    Automaton(Arc<Automaton>),
}

impl Facts {
    /// For tests of one graph of this release.
    #[must_use]
    pub fn new(release: &'static Release) -> Self {
        Self { relations: Relations::new(release), objects: HashMap::new(), tests: HashMap::new(), kept: Vec::new() }
    }

    fn number(&mut self, test: &Test) -> u32 {
        let (address, kept) = match &test.argument {
            Argument::Pattern(tree) => (Arc::as_ptr(tree).addr(), Kept::Tree(tree.clone())),
            Argument::Regex(automaton) => (Arc::as_ptr(automaton).addr(), Kept::Automaton(automaton.clone())),
            _ => {
                let relations = &mut self.relations;
                return match self.tests.get(test) {
                    Some(number) => *number,
                    None => *self.tests.entry(test.clone()).or_insert(relations.add(test.clone())),
                };
            }
        };
        if let Some(number) = self.objects.get(&(test.filter, address)) {
            return *number;
        }
        self.kept.push(kept);
        let number = self.relations.add(test.clone());
        self.objects.insert((test.filter, address), number);
        number
    }

    /// Whether it is sure that `b` is true where `a` is. Never of loaded values, whose loader is not
    /// known here.
    pub fn implies(&mut self, a: &Test, b: &Test) -> bool {
        if a.filter != b.filter || self.loads(a.filter) {
            return false;
        }
        let (a, b) = (self.number(a), self.number(b));
        a == b || self.relations.within(a, b)
    }

    /// Whether it is sure that `b` is false where `a` is true: that a value passes both is impossible
    /// and the filter has one value at a time, or both are of contrary name filters.
    pub fn excludes(&mut self, a: &Test, b: &Test) -> bool {
        let release = self.relations.release();
        let entry = |filter| release.filter(filter);
        if a.filter != b.filter {
            return [a, b].iter().all(|test| entry(test.filter).is_some_and(|filter| filter.contrary));
        }
        if self.loads(a.filter) || !entry(a.filter).is_some_and(|filter| filter.single_valued) {
            return false;
        }
        let (a, b) = (self.number(a), self.number(b));
        a != b && self.relations.apart(a, b)
    }

    fn loads(&self, filter: FilterId) -> bool {
        let release = self.relations.release();
        release.is_prerequisite(filter) || release.filter(filter).is_some_and(|filter| filter.prerequisite.is_some())
    }
}

/// The terminal of a node as text.
fn terminal_text(graph: &Graph, id: Option<NodeId>) -> String {
    match id.and_then(|id| graph.node(id)) {
        Some(Node::Terminal(terminal)) => describe::terminal(graph, terminal),
        _ => String::new(),
    }
}
