//! In: a decoded blob with its bytes. Out: what `decode` shows of it, piece by piece, so that nothing
//! has to hold the whole: a document for programs, and parts with notes for a dump. Never: colours,
//! files, or a size that the blob chooses without bound.
//!
//! - `json`: the document that `docs/schemas/decode.schema.json` describes
//! - `parts`: every byte, with what it is

mod json;
mod parts;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use serde::Serialize;

use crate::blob::Decoded;
use crate::pattern::tree::Tree;
use crate::policy::describe;
use crate::policy::graph::{Argument, Graph, Test};
use crate::vocabulary::FilterId;

pub use json::{Document, names};
pub use parts::{Notes, Part, PartKind, parts};

/// Tests as SBPL text. Nodes may share patterns and expressions: each is written once and kept, and what
/// is handed out in all has a limit, since 65,535 nodes with one pattern of 64 KB would give 4 GB.
pub struct Texts<'a> {
    graph: &'a Graph,
    kept: RefCell<HashMap<(FilterId, *const ()), Rc<str>>>,
    strings: RefCell<HashMap<*const Tree, Option<Rc<[PatternString]>>>>,
    left: Cell<usize>,
}

/// A string of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PatternString {
    /// The string.
    pub text: String,
    /// Whether a subject may go on behind it.
    pub prefix: bool,
}

/// Most bytes of text for patterns and expressions of one blob. The document of the largest real blob has
/// 22 MB in all.
const MOST_TEXT: usize = 64 << 20;

impl<'a> Texts<'a> {
    /// The tests of this graph.
    #[must_use]
    pub fn new(graph: &'a Graph) -> Self {
        Self { graph, kept: RefCell::default(), strings: RefCell::default(), left: Cell::new(MOST_TEXT) }
    }

    /// A test as SBPL text; `(filter …)` once the limit is reached.
    #[must_use]
    pub fn test(&self, test: &Test) -> Rc<str> {
        let object: *const () = match &test.argument {
            Argument::Pattern(tree) => Arc::as_ptr(tree).cast(),
            Argument::Regex(automaton) => Arc::as_ptr(automaton).cast(),
            _ => return describe::test(self.graph, test).into(),
        };
        if self.left.get() == 0 {
            return format!("({} …)", self.graph.release.filter_name(test.filter)).into();
        }
        let mut kept = self.kept.borrow_mut();
        let text = kept.entry((test.filter, object)).or_insert_with(|| describe::test(self.graph, test).into());
        self.left.set(self.left.get().saturating_sub(text.len()));
        text.clone()
    }

    /// The strings of a pattern, where it is a plain list of some and the limit is not reached.
    fn strings(&self, tree: &Arc<Tree>) -> Option<Rc<[PatternString]>> {
        if self.left.get() == 0 {
            return None;
        }
        let mut kept = self.strings.borrow_mut();
        let strings = kept.entry(Arc::as_ptr(tree)).or_insert_with(|| {
            let string = |(bytes, prefix): (Vec<u8>, bool)| PatternString { text: text(&bytes), prefix };
            tree.strings().map(|list| list.into_iter().map(string).collect())
        });
        let length: usize = strings.iter().flat_map(|list| list.iter()).map(|string| string.text.len() + 1).sum();
        self.left.set(self.left.get().saturating_sub(length));
        strings.clone()
    }
}

/// A profile's name, or another name of a blob, as text. Those of real blobs are ASCII.
fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// What to say of a blob whose container was read by descriptions alone; nothing of others.
#[must_use]
pub fn unproven(decoded: &Decoded) -> Option<&'static str> {
    decoded.graph.release.is_from_text_alone().then_some("from the text alone: no blob of this family was at hand")
}
