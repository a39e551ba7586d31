//! In: a [`Drawing`]. Out: DOT, the language of Graphviz; each node of the graph is one of the picture.
//! Never: a layout.

use std::fmt::Write as _;

use super::{Drawing, MATCH, UNMATCH, colors, wrapped};
use crate::policy::describe;
use crate::policy::graph::Node;

/// Characters of a line, and most lines, of a label.
const LABEL: (usize, usize) = (48, 12);

/// The drawing in DOT.
#[must_use]
pub fn dot(drawing: &Drawing<'_>) -> String {
    let graph = drawing.graph;
    let mut out = String::from("digraph policy {\n");
    out.push_str("  node [shape=box, fontname=\"monospace\", fontsize=10];\n  edge [fontsize=9];\n");
    for (index, entry) in drawing.entries.iter().enumerate() {
        let what = if entry.filter_of.is_some() { "messages: " } else { "" };
        let label = label(&format!("{what}{}", drawing.names(entry).join(" ")));
        let _ = writeln!(out, "  e{index} [shape=plaintext, label=\"{label}\"];");
        if let Some(terminal) = entry.filter_of {
            let _ = writeln!(out, "  n{} -> e{index} [style=dotted, label=\"messages\"];", terminal.0);
        }
        let _ = writeln!(out, "  e{index} -> n{};", entry.node.0);
    }
    for id in &drawing.nodes {
        match graph.node(*id) {
            Some(Node::Test { test, matched, unmatched }) => {
                let label = label(&describe::test(graph, test));
                let _ = writeln!(out, "  n{} [label=\"{}: {label}\"];", id.0, id.0);
                let _ = writeln!(out, "  n{} -> n{} [color=\"{MATCH}\"];", id.0, matched.0);
                let _ = writeln!(out, "  n{} -> n{} [color=\"{UNMATCH}\", style=dashed];", id.0, unmatched.0);
            }
            Some(Node::Terminal(terminal)) => {
                let (line, inside) = colors(terminal);
                let label = label(&describe::terminal(graph, terminal));
                let _ = writeln!(
                    out,
                    "  n{} [label=\"{label}\", style=\"rounded,filled\", color=\"{line}\", fillcolor=\"{inside}\"];",
                    id.0
                );
            }
            None => {}
        }
    }
    out.push_str("}\n");
    out
}

/// A label: lines that end at the left, quotes and backslashes escaped.
fn label(text: &str) -> String {
    let lines = wrapped(text, LABEL.0, LABEL.1);
    let escaped = lines.iter().map(|line| line.replace('\\', "\\\\").replace('"', "\\\""));
    let lines: Vec<String> = escaped.collect();
    if lines.len() == 1 { lines.concat() } else { lines.join("\\l") + "\\l" }
}
