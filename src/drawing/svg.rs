//! In: a [`Drawing`]. Out: an SVG that a person can read, on white and on black: one picture for each entry,
//! below one another. A terminal is drawn once for each edge to it, beside the test for a match and below it
//! otherwise, so that no edge crosses the picture just to say "allow". Never: a colour that only a style
//! sheet explains, or more boxes than the limits.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::layers::{self, Edge, Size};
use super::{Drawing, DrawingError, Entry, MATCH, UNMATCH, colors, wrapped};
use crate::policy::describe;
use crate::policy::graph::{Graph, Node, NodeId, Terminal};

/// Most tests in one picture, in all pictures, and bends of edges in one.
const MOST_TESTS: usize = 1500;
const MOST_IN_ALL: usize = 6000;
const MOST_BENDS: usize = 40_000;

/// Characters of a line, and most lines, of a test, a terminal and a heading.
const TEST: (usize, usize) = (46, 10);
const TERMINAL: (usize, usize) = (26, 6);
const HEADING: (usize, usize) = (90, 4);
/// Size of letters, their width in a fixed font (0.6 is what such fonts have), and lines.
const FONT: f64 = 12.0;
const LETTER: f64 = 7.3;
const LINE: f64 = 16.0;
/// Room inside a box, and around the picture.
const PADDING: f64 = 9.0;
const MARGIN: f64 = 24.0;
/// Between a test and the terminal beside it.
const BESIDE: f64 = 36.0;
/// Widest picture that needs no other layout.
const SCREEN: f64 = 1500.0;
/// Letters outside boxes: readable on white and on black.
const OUTSIDE: &str = "#7a828e";

/// The drawing as SVG.
///
/// # Errors
/// Where it has more boxes than anybody could read.
pub fn svg(drawing: &Drawing<'_>) -> Result<String, DrawingError> {
    let mut body = String::new();
    let legend = legend(drawing, &mut body);
    let (mut width, mut y) = (legend.0, legend.1);
    let mut tests = 0;
    for entry in &drawing.entries {
        let picture = Picture::new(drawing.graph, entry.node)?;
        tests += picture.boxes.len();
        at_most("tests", tests, MOST_IN_ALL)?;
        y += heading(drawing, entry, y, &mut body, &mut width);
        let placed = picture.placed()?;
        picture.draw(&placed, (MARGIN, y), &mut body);
        width = width.max(placed.width + 2.0 * MARGIN);
        y += placed.height + MARGIN;
    }
    let marker = |name: &str, color: &str| {
        format!(
            "<marker id=\"{name}\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
             orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"{color}\"/></marker>"
        )
    };
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{y:.0}\" viewBox=\"0 0 {width:.0} {y:.0}\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"{FONT}\">\n<defs>{}{}</defs>\n{body}</svg>\n",
        marker("m", MATCH),
        marker("u", UNMATCH)
    ))
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), DrawingError> {
    if count > limit { Err(DrawingError::TooLarge { what, count, limit }) } else { Ok(()) }
}

/// Text as XML has it; characters that XML has not are replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// What the colours and lines mean; its width and height.
fn legend(drawing: &Drawing<'_>, out: &mut String) -> (f64, f64) {
    let y = MARGIN;
    let mut x = MARGIN;
    for (name, color, dash, marker) in
        [("match", MATCH, "", "m"), ("no match", UNMATCH, " stroke-dasharray=\"5 4\"", "u")]
    {
        let _ = writeln!(
            out,
            "<path d=\"M{x:.0} {y:.0}h34\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.8\"{dash} \
             marker-end=\"url(#{marker})\"/><text x=\"{:.0}\" y=\"{:.0}\" fill=\"{OUTSIDE}\">{name}</text>",
            x + 42.0,
            y + 4.0
        );
        x += 42.0 + LETTER * name.len() as f64 + 24.0;
    }
    // One of each action that is there.
    let mut actions: Vec<&Terminal> = Vec::new();
    for id in &drawing.nodes {
        if let Some(Node::Terminal(terminal)) = drawing.graph.node(*id)
            && actions.iter().all(|known| known.action() != terminal.action())
        {
            actions.push(terminal);
        }
    }
    for terminal in actions {
        let lines = [terminal.action().name().to_owned()];
        let shape = Shape::of(&lines);
        terminal_box(terminal, &lines, None, (x, y - shape.height / 2.0), shape, out);
        x += shape.width + 12.0;
    }
    let note = "a terminal is drawn once for each way to it";
    let _ = writeln!(out, "<text x=\"{x:.0}\" y=\"{:.0}\" fill=\"{OUTSIDE}\">{note}</text>", y + 4.0);
    (x + LETTER * note.len() as f64 + MARGIN, y + MARGIN)
}

/// The names of an entry's operations; its height.
fn heading(drawing: &Drawing<'_>, entry: &Entry, y: f64, out: &mut String, width: &mut f64) -> f64 {
    let mut text = drawing.names(entry).join("  ");
    if let Some(terminal) = entry.filter_of {
        text = format!("messages of terminal {}: {text}", terminal.0);
    }
    let lines = wrapped(&text, HEADING.0, HEADING.1);
    for (index, line) in lines.iter().enumerate() {
        let _ = writeln!(
            out,
            "<text x=\"{MARGIN}\" y=\"{:.0}\" font-size=\"14\" font-weight=\"bold\" fill=\"{OUTSIDE}\">{}</text>",
            y + 14.0 + 18.0 * index as f64,
            escaped(line)
        );
        *width = width.max(2.0 * MARGIN + 8.5 * line.chars().count() as f64);
    }
    18.0 * lines.len() as f64 + 18.0
}

/// The size of a box with text in it.
#[derive(Clone, Copy)]
struct Shape {
    width: f64,
    height: f64,
}

impl Shape {
    fn of(lines: &[String]) -> Self {
        let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        Self { width: LETTER * longest as f64 + 2.0 * PADDING, height: LINE * lines.len() as f64 + 2.0 * PADDING - 2.0 }
    }
}

/// A terminal with its text.
struct Leaf<'a> {
    id: NodeId,
    terminal: &'a Terminal,
    lines: Vec<String>,
    shape: Shape,
}

/// A box of the picture.
enum Item<'a> {
    Test { id: NodeId, title: String, lines: Vec<String>, shape: Shape, beside: Option<Leaf<'a>> },
    Leaf(Leaf<'a>),
}

/// One entry's picture.
struct Picture<'a> {
    boxes: Vec<Item<'a>>,
    edges: Vec<Edge>,
    /// Whether each edge is taken after a match.
    is_match: Vec<bool>,
    /// For each box a layer of its own, but for terminals: what a match leads to comes before what a miss
    /// leads to.
    one_by_one: Vec<usize>,
}

impl<'a> Picture<'a> {
    fn new(graph: &'a Graph, entry: NodeId) -> Result<Self, DrawingError> {
        let order = tests_in_order(graph, entry, false);
        at_most("tests", order.len(), MOST_TESTS)?;
        let mut picture =
            Self { boxes: Vec::new(), edges: Vec::new(), is_match: Vec::new(), one_by_one: vec![0; order.len()] };
        let leaf = |id: NodeId| match graph.node(id) {
            Some(Node::Terminal(terminal)) => Some(leaf(graph, id, terminal)),
            _ => None,
        };
        let place: HashMap<NodeId, usize> = order.iter().enumerate().map(|(index, id)| (*id, index)).collect();
        for (layer, id) in tests_in_order(graph, entry, true).into_iter().enumerate() {
            picture.one_by_one[place[&id]] = layer;
        }
        for id in &order {
            let Some(Node::Test { test, matched, .. }) = graph.node(*id) else { continue };
            let title = describe::test(graph, test);
            let lines = wrapped(&title, TEST.0, TEST.1);
            let shape = Shape::of(&lines);
            picture.boxes.push(Item::Test { id: *id, title, lines, shape, beside: leaf(*matched) });
        }
        for (index, id) in order.iter().enumerate() {
            let Some(Node::Test { matched, unmatched, .. }) = graph.node(*id) else { continue };
            let to = match leaf(*unmatched) {
                Some(leaf) => {
                    picture.boxes.push(Item::Leaf(leaf));
                    picture.one_by_one.push(picture.one_by_one[index] + 1);
                    Some(picture.boxes.len() - 1)
                }
                None => place.get(unmatched).copied(),
            };
            let ways = [(to, false, 3.0), (place.get(matched).copied(), true, 1.0)];
            for (to, is_match, weight) in ways {
                if let Some(to) = to {
                    picture.edges.push(Edge { from: index, to, weight });
                    picture.is_match.push(is_match);
                }
            }
        }
        if order.is_empty() {
            picture.boxes.extend(leaf(entry).map(Item::Leaf));
            picture.one_by_one.push(0);
        }
        Ok(picture)
    }

    /// Where the boxes stand: in as few layers as there can be, or one below the other where that is wider
    /// than a screen, since a long page is easier to read than a wide one.
    fn placed(&self) -> Result<layers::Placed, DrawingError> {
        let sizes = self.sizes();
        let few = layers::longest_ways(sizes.len(), &self.edges);
        let bends = layers::bends(&few, &self.edges);
        at_most("bends of edges", bends, MOST_BENDS)?;
        let placed = layers::place(&sizes, &self.edges, &few);
        if placed.width <= SCREEN || layers::bends(&self.one_by_one, &self.edges) > MOST_BENDS {
            return Ok(placed);
        }
        let long = layers::place(&sizes, &self.edges, &self.one_by_one);
        Ok(if long.width < placed.width { long } else { placed })
    }

    fn sizes(&self) -> Vec<Size> {
        let size = |item: &Item<'_>| match item {
            Item::Leaf(leaf) => {
                Size { left: leaf.shape.width / 2.0, right: leaf.shape.width / 2.0, height: leaf.shape.height }
            }
            Item::Test { shape, beside, .. } => {
                let more = beside.as_ref().map_or(0.0, |leaf| BESIDE + leaf.shape.width);
                let height = beside.as_ref().map_or(shape.height, |leaf| leaf.shape.height.max(shape.height));
                Size { left: shape.width / 2.0, right: shape.width / 2.0 + more, height }
            }
        };
        self.boxes.iter().map(size).collect()
    }

    fn draw(&self, placed: &layers::Placed, (left, top): (f64, f64), out: &mut String) {
        for ((edge, bends), is_match) in self.edges.iter().zip(&placed.bends).zip(&self.is_match) {
            let (x, y) = placed.boxes[edge.from];
            let shape = match &self.boxes[edge.from] {
                Item::Test { shape, .. } | Item::Leaf(Leaf { shape, .. }) => shape,
            };
            // A match leaves to the right of what leaves in the middle.
            let start = (left + x + if *is_match { shape.width * 0.3 } else { 0.0 }, top + y + shape.height);
            let (end, target) = placed.boxes[edge.to];
            let mut path = format!("M{:.1} {:.1}", start.0, start.1);
            let mut at = start;
            let mut curve = |x: f64, y: f64, path: &mut String| {
                let middle = (at.1 + y) / 2.0;
                let _ = write!(path, "C{:.1} {middle:.1} {x:.1} {middle:.1} {x:.1} {y:.1}", at.0);
                at = (x, y);
            };
            for (x, above, below) in bends {
                curve(left + x, top + above, &mut path);
                if below > above {
                    curve(left + x, top + below, &mut path);
                }
            }
            // Two ways into one box end side by side.
            let aside = if *is_match { 7.0 } else { 0.0 };
            curve(left + end + aside, top + target - 1.0, &mut path);
            line(&path, *is_match, out);
        }
        for (item, (x, y)) in self.boxes.iter().zip(&placed.boxes) {
            let (x, y) = (left + x, top + y);
            match item {
                Item::Leaf(leaf) => leaf.draw((x - leaf.shape.width / 2.0, y), out),
                Item::Test { id, title, lines, shape, beside } => {
                    if let Some(leaf) = beside {
                        let from = x + shape.width / 2.0;
                        let middle = y + shape.height.min(leaf.shape.height) / 2.0;
                        line(&format!("M{from:.1} {middle:.1}H{:.1}", from + BESIDE - 1.0), true, out);
                        leaf.draw((from + BESIDE, y), out);
                    }
                    let _ = writeln!(
                        out,
                        "<g><title>node {}: {}</title><rect x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\" \
                         fill=\"#f4f5f7\" stroke=\"#6b7480\"/>",
                        id.0,
                        escaped(title),
                        x - shape.width / 2.0,
                        shape.width,
                        shape.height
                    );
                    text(lines, (x - shape.width / 2.0, y), out);
                    out.push_str("</g>\n");
                }
            }
        }
    }
}

/// The tests that an entry reaches, each before those that it leads to; what a match leads to before what a
/// miss leads to, or the other way round.
fn tests_in_order(graph: &Graph, entry: NodeId, match_first: bool) -> Vec<NodeId> {
    let mut seen = vec![false; graph.nodes.len()];
    let mut order = Vec::new();
    // A node is left when everything below it is done; no node leads back to itself.
    let mut work = vec![(entry, false)];
    while let Some((id, is_done)) = work.pop() {
        let Some(Node::Test { matched, unmatched, .. }) = graph.node(id) else { continue };
        if is_done {
            order.push(id);
        } else if !std::mem::replace(&mut seen[id.index()], true) {
            // Who is done last comes first in the end.
            let (first, last) = if match_first { (matched, unmatched) } else { (unmatched, matched) };
            work.extend([(id, true), (*first, false), (*last, false)]);
        }
    }
    order.reverse();
    order
}

fn leaf<'a>(graph: &Graph, id: NodeId, terminal: &'a Terminal) -> Leaf<'a> {
    let mut lines = vec![terminal.action().name().to_owned()];
    for modifier in describe::modifiers(graph, terminal) {
        lines.extend(wrapped(&modifier, TERMINAL.0, TERMINAL.1));
    }
    let shape = Shape::of(&lines);
    Leaf { id, terminal, lines, shape }
}

impl Leaf<'_> {
    fn draw(&self, place: (f64, f64), out: &mut String) {
        terminal_box(self.terminal, &self.lines, Some(self.id), place, self.shape, out);
    }
}

fn terminal_box(
    terminal: &Terminal,
    lines: &[String],
    id: Option<NodeId>,
    (x, y): (f64, f64),
    shape: Shape,
    out: &mut String,
) {
    let (stroke, fill) = colors(terminal);
    let title = id.map_or_else(String::new, |id| format!("<title>node {}</title>", id.0));
    let _ = writeln!(
        out,
        "<g>{title}<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"11\" fill=\"{fill}\" \
         stroke=\"{stroke}\" stroke-width=\"1.5\"/>",
        shape.width, shape.height
    );
    text(lines, (x, y), out);
    out.push_str("</g>\n");
}

fn text(lines: &[String], (x, y): (f64, f64), out: &mut String) {
    for (index, line) in lines.iter().enumerate() {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"#1b1f24\" xml:space=\"preserve\">{}</text>",
            x + PADDING,
            y + PADDING + 10.5 + LINE * index as f64,
            escaped(line)
        );
    }
}

fn line(path: &str, is_match: bool, out: &mut String) {
    let (color, dash, marker) = if is_match { (MATCH, "", "m") } else { (UNMATCH, " stroke-dasharray=\"5 4\"", "u") };
    let _ = writeln!(
        out,
        "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.8\"{dash} marker-end=\"url(#{marker})\"/>"
    );
}
