//! In: answers by which two graphs come to different ends, and values that give them. Out: [`Witness`]: the
//! answers as text, and a request that has these values. Never: whether the ends are different.

use std::collections::HashMap;

use super::solve::{Answers, Comparer, Values};
use super::values::Value;
use super::{Answer, Witness, terminal_text};
use crate::policy::describe;
use crate::policy::graph::{Argument, Node};
use crate::policy::request::{Entitlement, Request};
use crate::vocabulary::{FilterKind, OperationId};

impl Comparer<'_> {
    /// Answers, and the terminals where they lead to.
    pub(super) fn witness(
        &self,
        answers: &Answers,
        ends: [u32; 2],
        message: Option<(OperationId, Box<Witness>)>,
        values: &Values,
    ) -> Witness {
        let texts = answers.iter().filter_map(|((question, _), holds)| {
            let sample = self.meanings.samples.get(*question as usize)?;
            let graph = self.graphs.get(sample.graph)?;
            // As its graph has it: there its variables and flags have their names.
            let Some(Node::Test { test, .. }) = graph.node(sample.node) else { return None };
            Some(Answer { test: describe::test(graph, test), holds: *holds })
        });
        let text = |side: usize| terminal_text(self.graphs[side], self.places[side].get(&ends[side]).copied());
        let request = self.request(answers, values);
        Witness { answers: texts.collect(), terminals: [text(0), text(1)], message, request }
    }

    /// A request with these values, of any operation; nothing where the answers have no values here.
    fn request(&self, answers: &Answers, values: &Values) -> Option<Request> {
        let release = self.graphs[0].release;
        let mut request = Request::new(OperationId::DEFAULT);
        let mut entitlements: HashMap<Vec<u8>, Option<Entitlement>> = HashMap::new();
        let key = |question: u32| match &self.meanings.samples.get(question as usize)?.test.argument {
            Argument::Text(key) => Some(key.clone()),
            _ => None,
        };
        for ((filter, loaded), values) in values {
            if let Some((loader, _)) = *loaded {
                let texts = values.iter().filter_map(|value| match value {
                    Value::Text(text) => Some(text.clone()),
                    _ => None,
                });
                let texts: Vec<_> = texts.collect();
                let value = match values.first() {
                    Some(Value::Number(number)) => Entitlement::Bool(*number != 0),
                    _ => Entitlement::Texts(texts),
                };
                entitlements.insert(key(loader)?, Some(value));
                continue;
            }
            if release.filter(*filter)?.name.starts_with("%entitlement") {
                continue;
            }
            for value in values {
                match value {
                    Value::Number(number) => request.add_number(release, *filter, *number),
                    Value::Text(text) => request.add_text(release, *filter, text),
                    Value::Address(address) => request.add_address(release, *filter, *address),
                }
                .ok()?;
            }
        }
        for ((question, _), _) in answers.iter().filter(|(_, holds)| *holds) {
            let sample = self.meanings.samples.get(*question as usize)?;
            let entry = release.filter(sample.test.filter)?;
            match (&sample.test.argument, entry.name.as_str()) {
                (Argument::Text(key), "%entitlement-is-bool-true") => {
                    entitlements.insert(key.clone(), Some(Entitlement::Bool(true)));
                }
                (Argument::Text(key), name) if name.starts_with("%entitlement") => {
                    entitlements.entry(key.clone()).or_insert(None);
                }
                (Argument::Number(number), _) if entry.kind == FilterKind::Bitfield => {
                    request.add_number(release, entry.id, *number).ok()?;
                }
                (Argument::StateFlag(number), _) => {
                    let name = self.graphs.get(sample.graph)?.states.get(usize::from(*number))?;
                    request.add_text(release, entry.id, name).ok()?;
                }
                (Argument::ProfileFlag(number), _) => {
                    let name = self.graphs.get(sample.graph)?.profile_flags.get(usize::from(*number))?;
                    request.add_text(release, entry.id, name).ok()?;
                }
                _ => {}
            }
        }
        let mut entitlements: Vec<_> = entitlements.into_iter().collect();
        entitlements.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (key, value) in entitlements {
            request.add_entitlement(&key, value.unwrap_or_else(|| Entitlement::Texts(Vec::new()))).ok()?;
        }
        Some(request)
    }
}
