//! In: graphs of single profiles. Out: [`Collection`], the profiles of one blob with their names
//! and what they share. Never: offsets, raw bytes, SBPL.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::graph::{Graph, Node, NodeId};
use super::names::TestNames;
use crate::vocabulary::Release;

/// One profile of a collection.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name; empty for the only profile of a blob that is no collection.
    pub name: Vec<u8>,
    /// The name of the profile that it extends (FORMAT.md §1.6).
    pub base: Option<Vec<u8>>,
    /// The profile flags that it carries, by number in [`Collection::profile_flags`], ascending.
    pub flag_set: Option<Vec<u16>>,
    /// Its policy. All profiles of a collection share nodes and names.
    pub graph: Graph,
}

/// The profiles of one blob.
#[derive(Clone, Debug)]
pub struct Collection {
    /// Whose vocabulary.
    pub release: &'static Release,
    /// Whether the blob is a collection; else there is just one profile, without a name.
    pub is_collection: bool,
    /// The profiles, in the order of their records.
    pub profiles: Vec<Profile>,
    /// Names of the flags that profiles can carry, by number.
    pub profile_flags: Vec<Vec<u8>>,
    /// Variables in the order in which their names are stored. No rule gives that order (FORMAT.md
    /// §2.5, rule 5), so a decoded blob carries it; the order of numbers where nothing is known.
    pub variable_order: Vec<u16>,
}

/// Why profiles do not go into one collection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CollectionError {
    /// Two releases cannot share operation tables.
    #[error("profiles of different releases cannot be in one collection")]
    Releases,
    /// Names tell profiles apart.
    #[error("two profiles are named '{0}'; a collection has each name once")]
    SameName(String),
    /// A collection of nothing.
    #[error("a collection needs at least one profile")]
    Empty,
    /// Numbers of nodes are 32 bits wide here.
    #[error("the profiles have too many nodes together")]
    TooManyNodes,
}

impl Profile {
    /// A profile that extends none.
    #[must_use]
    pub fn new(name: impl Into<Vec<u8>>, graph: Graph) -> Self {
        Self { name: name.into(), base: None, flag_set: None, graph }
    }
}

impl Collection {
    /// The form of a blob with one profile.
    #[must_use]
    pub fn single(graph: Graph) -> Self {
        let variables = u16::try_from(graph.variables.len()).unwrap_or(u16::MAX);
        let release = graph.release;
        let profile = Profile::new(Vec::new(), graph);
        Self {
            release,
            is_collection: false,
            profiles: vec![profile],
            profile_flags: Vec::new(),
            variable_order: (0..variables).collect(),
        }
    }

    /// One collection of several profiles, in the order of their file names (`name.sb`, by bytes:
    /// FORMAT.md §2.5, rule 2). Plain terminals that several profiles have are one object; tests of
    /// different profiles stay apart (what Apple's build shares beyond that has no known rule,
    /// FORMAT.md §2.4).
    ///
    /// # Errors
    /// [`CollectionError`].
    pub fn of(mut profiles: Vec<Profile>) -> Result<Self, CollectionError> {
        profiles.sort_by_cached_key(|profile| [profile.name.as_slice(), b".sb"].concat());
        if let Some(pair) = profiles.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(CollectionError::SameName(String::from_utf8_lossy(&pair[0].name).into_owned()));
        }
        let release = profiles.first().map(|profile| profile.graph.release).ok_or(CollectionError::Empty)?;
        if profiles.iter().any(|profile| !std::ptr::eq(profile.graph.release, release)) {
            return Err(CollectionError::Releases);
        }
        let mut joined = Joined::default();
        let mut entries = Vec::with_capacity(profiles.len());
        for profile in &profiles {
            entries.push(joined.add(&profile.graph)?);
        }
        let nodes: Arc<[Node]> = joined.nodes.into();
        let TestNames { variables, states, profile_flags: flags } = joined.names;
        let [variables, states, flags] = [variables, states, flags].map(|names| Arc::<[Vec<u8>]>::from(names.list));
        let variable_count = u16::try_from(variables.len()).unwrap_or(u16::MAX);
        let mut profiles: Vec<Profile> = profiles
            .into_iter()
            .zip(entries)
            .map(|(profile, entries)| Profile {
                graph: Graph {
                    release,
                    flags: profile.graph.flags,
                    entries,
                    nodes: nodes.clone(),
                    variables: variables.clone(),
                    states: states.clone(),
                    profile_flags: flags.clone(),
                },
                ..profile
            })
            .collect();
        bases_first(&mut profiles);
        Ok(Self {
            release,
            is_collection: true,
            profiles,
            profile_flags: Vec::new(),
            variable_order: (0..variable_count).collect(),
        })
    }

    /// The graph that starts where any profile's operations start.
    #[must_use]
    pub fn whole(&self) -> Option<Graph> {
        let entries = self.profiles.iter().flat_map(|profile| profile.graph.entries.iter().copied());
        self.profiles.first().map(|first| Graph { entries: entries.collect(), ..first.graph.clone() })
    }

    /// Whether each profile reaches a terminal with a message filter. One pass over the nodes, however
    /// many profiles share them.
    #[must_use]
    pub fn filters_messages(&self) -> Vec<bool> {
        let Some(whole) = self.whole() else { return Vec::new() };
        let mut leads = vec![false; whole.nodes.len()];
        let known = |leads: &[bool], id: &NodeId| leads.get(id.index()).copied().unwrap_or(false);
        for id in whole.children_first() {
            leads[id.index()] = match &whole.nodes[id.index()] {
                Node::Test { matched, unmatched, .. } => known(&leads, matched) || known(&leads, unmatched),
                Node::Terminal(terminal) => terminal.message_filters().next().is_some(),
            };
        }
        let reaches = |profile: &Profile| profile.graph.entries.iter().any(|entry| known(&leads, entry));
        self.profiles.iter().map(reaches).collect()
    }

    /// The profile of this name.
    #[must_use]
    pub fn profile(&self, name: &[u8]) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.name == name)
    }
}

/// Moves each profile that others extend before the first of them (FORMAT.md §2.5, rule 6).
fn bases_first(profiles: &mut Vec<Profile>) {
    let mut rest: Vec<Option<Profile>> = std::mem::take(profiles).into_iter().map(Some).collect();
    let places: HashMap<Vec<u8>, usize> =
        rest.iter().flatten().enumerate().map(|(place, profile)| (profile.name.clone(), place)).collect();
    for place in 0..rest.len() {
        // A base may have one of its own; a circle ends where it comes back to what is placed.
        let mut chain = vec![place];
        while let Some(next) = chain
            .last()
            .and_then(|place| rest[*place].as_ref()?.base.as_ref())
            .and_then(|base| places.get(base).copied().filter(|next| rest[*next].is_some() && !chain.contains(next)))
        {
            chain.push(next);
        }
        profiles.extend(chain.into_iter().rev().filter_map(|place| rest[place].take()));
    }
}

/// Nodes and names of several graphs.
#[derive(Default)]
struct Joined {
    nodes: Vec<Node>,
    names: TestNames,
    /// Terminals that lead nowhere, by what they are.
    terminals: HashMap<Node, NodeId>,
}

impl Joined {
    /// Adds a graph; where its operations start now. Inside a profile equal tests are one object,
    /// also those of implicit rules, which stay apart in a profile alone (GRAPH.md R6: 9 of 60,727
    /// nodes of iOS 26 have a twin). A terminal that the compiler keeps apart stays so: the system
    /// call sets of each profile have allows of their own (FORMAT.md §2.4: 344 profiles, 1,376).
    fn add(&mut self, graph: &Graph) -> Result<Vec<NodeId>, CollectionError> {
        let variables = self.names.of_variables(graph);
        let mut places: HashMap<NodeId, NodeId> = HashMap::new();
        let mut tests: HashMap<Node, NodeId> = HashMap::new();
        let mut taken: HashSet<NodeId> = HashSet::new();
        // In the order of the visit, the first of equal terminals is the common one.
        for id in graph.reachable() {
            let node = &graph.nodes[id.index()];
            if matches!(node, Node::Terminal(terminal) if terminal.message_filters().next().is_none()) {
                let next = self.next()?;
                let shared = *self.terminals.entry(node.clone()).or_insert(next);
                let place = if taken.insert(shared) { shared } else { next };
                if place == next {
                    self.nodes.push(node.clone());
                }
                places.insert(id, place);
            }
        }
        for id in graph.children_first() {
            if places.contains_key(&id) {
                continue;
            }
            let place = |id: &NodeId| places.get(id).copied().unwrap_or(*id);
            let mut node = graph.nodes[id.index()].clone();
            match &mut node {
                Node::Test { test, matched, unmatched } => {
                    (*matched, *unmatched) = (place(matched), place(unmatched));
                    self.names.rename(test, graph, &variables);
                }
                Node::Terminal(terminal) => terminal.move_message_filters(&|entry| place(&entry)),
            }
            let next = self.next()?;
            let place = *tests.entry(node.clone()).or_insert(next);
            if place == next {
                self.nodes.push(node);
            }
            places.insert(id, place);
        }
        Ok(graph.entries.iter().map(|entry| places.get(entry).copied().unwrap_or(*entry)).collect())
    }

    fn next(&self) -> Result<NodeId, CollectionError> {
        u32::try_from(self.nodes.len()).map(NodeId).map_err(|_| CollectionError::TooManyNodes)
    }
}
