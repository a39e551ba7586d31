//! In: the JSON files of `grammar/`, one per release, compiled into the binary.
//! Out: [`Release`]: which operations, filters, modifiers, implicit rules, path aliases and header
//! fields a release has. Never: code that asks which release it is; a difference between releases
//! is a difference in the data.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use rustc_hash::FxHashMap;
use serde::Deserialize;

mod check;
mod data;
mod renamed;
pub use data::{
    Applies, EarlyCollection, EarlyLayout, EarlyPatterns, EarlyTable, EarlyTerminal, Filter, FilterFunction,
    FilterKind, HeaderField, ImplicitNode, ImplicitRule, Inferred, Layout, MatchKind, Modifier, ModifierArgumentKind,
    NoOpOperations, Operation, OperationAlias, Paths, Programs, RecordFlags, RecordWord, TerminalDefault, TerminalForm,
    VersionedName,
};

include!(concat!(env!("OUT_DIR"), "/grammar.rs"));

/// The release used where none is named.
pub const DEFAULT_RELEASE: &str = "macos-14.4";

/// Index of an operation in [`Release::operations`]; for operations with a slot also the index in
/// a compiled operation table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperationId(pub u16);

impl OperationId {
    /// The root operation, `default`.
    pub const DEFAULT: Self = Self(0);

    /// As an index into per-operation tables.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The 1-based filter number that stands in compiled nodes (FORMAT.md §2.1), without bit 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct FilterId(pub u8);

/// The modifier number that stands in compiled terminals (FORMAT.md §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct ModifierId(pub u8);

/// What one release of the system knows, as data.
pub struct Release {
    data: data::ReleaseData,
    operation_slots: usize,
    operation_names: HashMap<String, OperationId>,
    /// By the number; every test of a walk looks its filter up.
    filter_positions: [Option<usize>; 256],
    // Names of grammar files alone; what starts for each command is worth a quick hash.
    filter_names: FxHashMap<String, FilterId>,
    modifier_positions: FxHashMap<ModifierId, usize>,
    functions: FxHashMap<String, (FilterId, usize)>,
    constants: FxHashMap<String, u16>,
}

/// Why a release could not be had.
#[derive(Debug, thiserror::Error)]
pub enum VocabularyError {
    /// No file in `grammar/` has this name.
    #[error("unknown release '{name}'; known releases: {known}")]
    UnknownRelease {
        /// What was asked for.
        name: String,
        /// The names there are, separated by commas.
        known: String,
    },
    /// Names of operations that make no operation table.
    #[error("{reason}")]
    Operations {
        /// What is wrong with them.
        reason: String,
    },
    /// A grammar file is broken: a bug in sbtool, not in the input.
    #[error("grammar/{name}.json: {reason}")]
    Broken {
        /// The file, without its suffix.
        name: String,
        /// What is wrong in it.
        reason: String,
    },
}

/// What needs a binary format is asked of a release whose format sbtool does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the binary format of {release} is not known to sbtool yet; 'check', 'rules' and 'why' work on the text of a profile"
)]
pub struct UnknownFormat {
    /// The release.
    pub release: String,
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Release").field(&self.data.release).finish()
    }
}

/// The names of all releases, in order.
#[must_use]
pub fn release_names() -> Vec<&'static str> {
    GRAMMAR_FILES.iter().map(|(file, _)| file.trim_end_matches(".json")).collect()
}

impl Release {
    /// The release of this name, for instance `macos-14.4`. Parsed once per process.
    ///
    /// # Errors
    /// [`VocabularyError::UnknownRelease`] where `grammar/` has no such file.
    pub fn named(name: &str) -> Result<&'static Self, VocabularyError> {
        static CACHE: OnceLock<Vec<OnceLock<Result<Release, String>>>> = OnceLock::new();
        let slots = CACHE.get_or_init(|| GRAMMAR_FILES.iter().map(|_| OnceLock::new()).collect());
        let names = release_names();
        let position = names
            .iter()
            .position(|known| *known == name)
            .ok_or_else(|| VocabularyError::UnknownRelease { name: name.to_owned(), known: names.join(", ") })?;
        let parsed = slots[position].get_or_init(|| Self::parse(GRAMMAR_FILES[position].1));
        parsed.as_ref().map_err(|reason| VocabularyError::Broken { name: name.to_owned(), reason: reason.clone() })
    }

    /// Reads one grammar file and checks what the other modules rely on: ids without gaps or
    /// duplicates, parents that exist and lead to `default` without a cycle, unique names.
    fn parse(text: &str) -> Result<Self, String> {
        Self::of_data(serde_json::from_str(text).map_err(|e| e.to_string())?)
    }

    /// The release of this name with other operations: the names of all of them in the order of their
    /// numbers, those of message filters last. For blobs whose operation table no grammar file has.
    ///
    /// # Errors
    /// [`VocabularyError::UnknownRelease`]; [`VocabularyError::Operations`] where the list makes no
    /// operation table.
    pub fn with_operations(name: &str, operations: &[String]) -> Result<Self, VocabularyError> {
        // For the error of an unknown name.
        let release = Self::named(name)?;
        let text = GRAMMAR_FILES.iter().find(|(file, _)| file.trim_end_matches(".json") == release.name());
        let broken = |reason: String| VocabularyError::Operations { reason };
        let mut data: data::ReleaseData =
            serde_json::from_str(text.map_or("", |(_, text)| *text)).map_err(|error| broken(error.to_string()))?;
        renamed::rename(&mut data, operations).map_err(broken)?;
        Self::of_data(data).map_err(broken)
    }

    fn of_data(data: data::ReleaseData) -> Result<Self, String> {
        check::whole(&data)?;
        let mut operation_names = HashMap::with_capacity(data.operations.len());
        for (position, operation) in data.operations.iter().enumerate() {
            if usize::from(operation.id) != position {
                return Err(format!("operation '{}' has id {}, expected {position}", operation.name, operation.id));
            }
            if operation_names.insert(operation.name.clone(), OperationId(operation.id)).is_some() {
                return Err(format!("operation '{}' stands twice", operation.name));
            }
        }
        for operation in &data.operations {
            if operation.parent.is_some() == operation.terminal.is_some() {
                return Err(format!(
                    "operation '{}' needs a parent or a terminal action, and not both",
                    operation.name
                ));
            }
            let mut seen = 0;
            let mut current = operation;
            while let Some(parent) = &current.parent {
                let id = operation_names
                    .get(parent)
                    .ok_or_else(|| format!("operation '{}' has the unknown parent '{parent}'", current.name))?;
                current = &data.operations[id.index()];
                seen += 1;
                if seen > data.operations.len() {
                    return Err(format!("the parents of operation '{}' form a cycle", operation.name));
                }
            }
        }
        // A position in the list is an index into compiled tables, which have no slots for these.
        let operation_slots = data.operations.iter().take_while(|operation| !operation.message_filter).count();
        if let Some(operation) = data.operations[operation_slots..].iter().find(|operation| !operation.message_filter) {
            return Err(format!("operation '{}' stands behind those of message filters", operation.name));
        }
        let mut filter_positions = [None; 256];
        let mut filter_names = FxHashMap::default();
        let mut functions = FxHashMap::default();
        let mut constants = FxHashMap::default();
        constants.reserve(data.filters.iter().map(|filter| filter.values.len()).sum());
        for (position, filter) in data.filters.iter().enumerate() {
            if filter_positions[usize::from(filter.id.0)].replace(position).is_some()
                || filter.id.0 == 0
                || filter.id.0 > 0x7f
            {
                return Err(format!("filter '{}' has a bad or repeated id {}", filter.name, filter.id.0));
            }
            if filter_names.insert(filter.name.clone(), filter.id).is_some() {
                return Err(format!("filter '{}' stands twice", filter.name));
            }
            for (index, function) in filter.functions.iter().enumerate() {
                if functions.insert(function.name.clone(), (filter.id, index)).is_some() {
                    return Err(format!("filter function '{}' stands twice", function.name));
                }
            }
            for (name, value) in &filter.values {
                if *constants.entry(name.clone()).or_insert(*value) != *value {
                    return Err(format!("constant '{name}' has two values"));
                }
            }
        }
        if let Some(missing) =
            (1..=data.filters.len()).find(|id| filter_positions.get(*id).copied().flatten().is_none())
        {
            return Err(format!("filter id {missing} is missing"));
        }
        let mut modifier_positions = FxHashMap::default();
        for (position, modifier) in data.modifiers.iter().enumerate() {
            if modifier_positions.insert(modifier.id, position).is_some() {
                return Err(format!("modifier '{}' has a repeated id", modifier.name));
            }
            for (name, value) in &modifier.values {
                if *constants.entry(name.clone()).or_insert(*value) != *value {
                    return Err(format!("constant '{name}' has two values"));
                }
            }
            for name in modifier.only.iter().chain(&modifier.except) {
                if !operation_names.contains_key(name) {
                    return Err(format!("modifier '{}' names the unknown operation '{name}'", modifier.name));
                }
            }
        }
        for alias in &data.operation_aliases {
            if !operation_names.contains_key(&alias.operation) {
                return Err(format!("alias '{}' names the unknown operation '{}'", alias.name, alias.operation));
            }
        }
        for rule in &data.implicit {
            for name in rule.when_allowed.iter().chain([&rule.operation]).chain(&rule.shares_with) {
                if !operation_names.contains_key(name) {
                    return Err(format!("an implicit rule names the unknown operation '{name}'"));
                }
            }
            if !filter_names.contains_key(&rule.filter) {
                return Err(format!("an implicit rule names the unknown filter '{}'", rule.filter));
            }
        }
        Ok(Self {
            data,
            operation_slots,
            operation_names,
            filter_positions,
            filter_names,
            modifier_positions,
            functions,
            constants,
        })
    }

    /// Name as `--release` takes it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.data.release
    }

    /// Name for people: product, version, build.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.data.title
    }

    /// SBPL versions that `(version n)` takes.
    #[must_use]
    pub fn versions(&self) -> &[u8] {
        &self.data.versions
    }

    /// Whether path patterns are compiled in lower case (FORMAT.md §4.6).
    #[must_use]
    pub fn folds_paths(&self) -> bool {
        self.data.folds_paths
    }

    /// The value of `*target-platform*`.
    #[must_use]
    pub fn target_platform(&self) -> &str {
        &self.data.target_platform
    }

    /// How its pattern programs differ from later ones.
    #[must_use]
    pub fn programs(&self) -> Programs {
        self.data.programs
    }

    /// Container facts of this release.
    ///
    /// # Errors
    /// [`UnknownFormat`] where sbtool has none; its texts can be evaluated all the same.
    pub fn layout(&self) -> Result<&Layout, UnknownFormat> {
        self.data.layout.as_ref().ok_or_else(|| UnknownFormat { release: self.data.release.clone() })
    }

    /// Container facts of a release whose blobs are read and never written: those of absolute words, up
    /// to iOS 9. Such a release has no [`Release::layout`].
    #[must_use]
    pub fn early_layout(&self) -> Option<&EarlyLayout> {
        self.data.early_layout.as_ref()
    }

    /// Whether no blob of the release's family was at hand: its layout is from descriptions alone.
    #[must_use]
    pub fn is_from_text_alone(&self) -> bool {
        self.data.from_text_alone
    }

    /// Whether sbtool can read blobs of this release.
    #[must_use]
    pub fn reads_blobs(&self) -> bool {
        self.data.layout.is_some() || self.data.early_layout.is_some()
    }

    /// Whether the release has this action besides `allow` and `deny`.
    #[must_use]
    pub fn has_action(&self, name: &str) -> bool {
        self.data.actions.iter().any(|known| known == name)
    }

    /// Whether a profile can name one that it extends.
    #[must_use]
    pub fn has_bases(&self) -> bool {
        self.data.layout.as_ref().is_some_and(|layout| layout.record.contains(&RecordWord::Base))
    }

    /// Bits of the sets of mask filters, where the release has such.
    #[must_use]
    pub fn mask_width(&self) -> u16 {
        self.data.layout.as_ref().map_or(u16::MAX, |layout| layout.mask_bits)
    }

    /// Entries of a compiled operation table: all operations but those of message filters.
    #[must_use]
    pub fn operation_slots(&self) -> usize {
        self.operation_slots
    }

    /// Parts of the grammar that no source confirms for this release.
    #[must_use]
    pub fn inferred(&self) -> &[Inferred] {
        &self.data.inferred
    }

    /// Symlinks and firmlinks of such a system.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.data.paths
    }

    /// All operations; the position is the id.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.data.operations
    }

    /// All filters, by ascending id.
    #[must_use]
    pub fn filters(&self) -> &[Filter] {
        &self.data.filters
    }

    /// All modifiers, by ascending id.
    #[must_use]
    pub fn modifiers(&self) -> &[Modifier] {
        &self.data.modifiers
    }

    /// Rules that the compiler adds by itself (COMPILER.md §5, LANGUAGE.md §7.4).
    #[must_use]
    pub fn implicit_rules(&self) -> &[ImplicitRule] {
        &self.data.implicit
    }

    /// Other names of operations (LANGUAGE.md §4.6).
    #[must_use]
    pub fn operation_aliases(&self) -> &[OperationAlias] {
        &self.data.operation_aliases
    }

    /// Names that stand for an operation that is gone: a rule for it does nothing.
    #[must_use]
    pub fn no_op_operations(&self) -> &NoOpOperations {
        &self.data.no_op_operations
    }

    /// Modifiers that only set a profile flag and leave the rule as it is.
    #[must_use]
    pub fn deprecated_modifiers(&self) -> &[VersionedName] {
        &self.data.deprecated_modifiers
    }

    /// The operation of this exact name.
    #[must_use]
    pub fn operation(&self, name: &str) -> Option<OperationId> {
        self.operation_names.get(name).copied()
    }

    /// The entry of an operation, if the id is one of this release.
    #[must_use]
    pub fn operation_entry(&self, id: OperationId) -> Option<&Operation> {
        self.data.operations.get(id.index())
    }

    /// The name of an operation; `operation-N` for an id that the release does not have.
    #[must_use]
    pub fn operation_name(&self, id: OperationId) -> std::borrow::Cow<'_, str> {
        self.operation_entry(id).map_or_else(|| format!("operation-{}", id.0).into(), |o| o.name.as_str().into())
    }

    /// The operation that an operation without rules of its own inherits from.
    #[must_use]
    pub fn parent(&self, id: OperationId) -> Option<OperationId> {
        self.operation(self.operation_entry(id)?.parent.as_deref()?)
    }

    /// The filter with this id.
    #[must_use]
    pub fn filter(&self, id: FilterId) -> Option<&Filter> {
        self.filter_positions[usize::from(id.0)].map(|position| &self.data.filters[position])
    }

    /// The filter of this table name.
    #[must_use]
    pub fn filter_named(&self, name: &str) -> Option<&Filter> {
        self.filter(*self.filter_names.get(name)?)
    }

    /// The name of a filter; `filter-N` for an id that the release does not have.
    #[must_use]
    pub fn filter_name(&self, id: FilterId) -> std::borrow::Cow<'_, str> {
        self.filter(id).map_or_else(|| format!("filter-{}", id.0).into(), |f| f.name.as_str().into())
    }

    /// The name that people write for a way of matching: `literal` and not `path`; one that every
    /// SBPL version knows.
    #[must_use]
    pub fn preferred_function(&self, id: FilterId, matching: MatchKind) -> Option<&str> {
        let functions = self.filter(id)?.functions.as_slice();
        let fitting = || functions.iter().filter(|f| f.matching == matching && f.versions.is_empty());
        fitting()
            .find(|function| matches!(function.name.as_str(), "literal" | "prefix" | "regex"))
            .or_else(|| fitting().next())
            .map(|function| function.name.as_str())
    }

    /// Whether another filter refers to the value that this one loads.
    #[must_use]
    pub fn is_prerequisite(&self, id: FilterId) -> bool {
        self.filter(id).is_some_and(|loader| {
            self.data.filters.iter().any(|filter| filter.prerequisite.as_ref() == Some(&loader.name))
        })
    }

    /// The filter that a function such as `subpath` makes, and how it matches.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<(&Filter, &FilterFunction)> {
        let (id, index) = self.functions.get(name)?;
        let filter = self.filter(*id)?;
        Some((filter, filter.functions.get(*index)?))
    }

    /// The value of a pre-bound constant such as `AF_INET`.
    #[must_use]
    pub fn constant(&self, name: &str) -> Option<u16> {
        self.constants.get(name).copied()
    }

    /// The modifier with this id.
    #[must_use]
    pub fn modifier(&self, id: ModifierId) -> Option<&Modifier> {
        self.modifier_positions.get(&id).map(|position| &self.data.modifiers[*position])
    }

    /// The modifier that takes an argument of this kind and has this name.
    #[must_use]
    pub fn modifier_named(&self, name: &str) -> Option<&Modifier> {
        self.data.modifiers.iter().find(|modifier| modifier.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grammar_file_is_whole() {
        for name in release_names() {
            let release = Release::named(name).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(release.name(), name, "file name and release name differ");
            assert!(release.operation("default") == Some(OperationId::DEFAULT));
        }
    }

    fn text_of(release: &str) -> &'static str {
        let file = format!("{release}.json");
        GRAMMAR_FILES.iter().find(|(name, _)| *name == file).map_or("", |(_, text)| *text)
    }

    #[test]
    fn a_gap_a_duplicate_and_a_dangling_parent_are_found() {
        let text = text_of(DEFAULT_RELEASE);
        let broken = |from: &str, to: &str| {
            assert!(text.contains(from), "the test's own text is stale: {from}");
            Release::parse(&text.replacen(from, to, 1)).err().unwrap_or_default()
        };
        assert!(
            broken(r#"{"id": 5, "name": "device-camera""#, r#"{"id": 6, "name": "device-camera""#)
                .contains("expected 5")
        );
        assert!(broken(r#""name": "device-camera""#, r#""name": "device-microphone""#).contains("twice"));
        assert!(broken(r#""parent": "device*""#, r#""parent": "devices""#).contains("unknown parent"));
        assert!(
            broken(r#"{"id": 2, "name": "mount-relative-path""#, r#"{"id": 1, "name": "mount-relative-path""#)
                .contains("repeated id")
        );
    }

    #[test]
    fn unknown_release_names_the_known_ones() {
        let error = Release::named("macos-9").err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("macos-14.4"), "{error}");
    }
}
