//! In: a parsed grammar file. Out: nothing, or what is wrong in it beyond what the maps of
//! [`super::Release`] show by themselves. Never: a repair.

use std::collections::HashSet;

use super::data::{EarlyLayout, HeaderField, Layout, RecordWord, ReleaseData};

/// Checks names, versions, prerequisites, layout and paths.
pub(super) fn whole(data: &ReleaseData) -> Result<(), String> {
    names(data)?;
    versions(data)?;
    for filter in &data.filters {
        if let Some(loader) = &filter.prerequisite
            && !data.filters.iter().any(|other| other.name == *loader)
        {
            return Err(format!("filter '{}' needs the unknown filter '{loader}'", filter.name));
        }
    }
    if data.paths.data_volume.is_none() && !data.paths.firmlinks.is_empty() {
        return Err("firmlinks without a data volume".to_owned());
    }
    if data.layout.is_some() && data.early_layout.is_some() {
        return Err("two layouts".to_owned());
    }
    data.early_layout.as_ref().map_or(Ok(()), early_layout)?;
    data.layout.as_ref().map_or(Ok(()), layout)
}

/// One name means one thing. An alias may hide an operation, and says so then.
fn names(data: &ReleaseData) -> Result<(), String> {
    let operations: HashSet<&str> = data.operations.iter().map(|operation| operation.name.as_str()).collect();
    let functions = data.filters.iter().flat_map(|filter| &filter.functions).map(|function| function.name.as_str());
    let modifiers = data.modifiers.iter().flat_map(|modifier| {
        [modifier.name.as_str()].into_iter().chain(modifier.aliases.iter().map(|alias| alias.name.as_str()))
    });
    let deprecated = data.deprecated_modifiers.iter().map(|entry| entry.name.as_str());
    let gone = data.no_op_operations.names.iter().map(String::as_str);
    let mut seen = operations.clone();
    for name in functions.chain(modifiers).chain(deprecated).chain(gone) {
        if !seen.insert(name) {
            return Err(format!("the name '{name}' stands twice"));
        }
    }
    let mut aliases = HashSet::new();
    for alias in &data.operation_aliases {
        let hides = operations.contains(alias.name.as_str());
        if alias.shadows != hides || (!hides && seen.contains(alias.name.as_str())) || !aliases.insert(&alias.name) {
            return Err(format!("alias '{}' stands twice or hides another name", alias.name));
        }
    }
    Ok(())
}

/// Every version that an entry names is one of the release's.
fn versions(data: &ReleaseData) -> Result<(), String> {
    let mut uses: Vec<(&str, &[u8])> = vec![("no_op_operations", &data.no_op_operations.versions)];
    uses.extend(data.operations.iter().map(|entry| (entry.name.as_str(), entry.allowed_in.as_slice())));
    uses.extend(data.operation_aliases.iter().map(|entry| (entry.name.as_str(), entry.versions.as_slice())));
    uses.extend(data.implicit.iter().map(|entry| (entry.operation.as_str(), entry.versions.as_slice())));
    uses.extend(data.deprecated_modifiers.iter().map(|entry| (entry.name.as_str(), entry.versions.as_slice())));
    let functions = data.filters.iter().flat_map(|filter| &filter.functions);
    uses.extend(functions.map(|entry| (entry.name.as_str(), entry.versions.as_slice())));
    let aliases = data.modifiers.iter().flat_map(|modifier| &modifier.aliases);
    uses.extend(aliases.map(|entry| (entry.name.as_str(), entry.versions.as_slice())));
    for (name, versions) in uses {
        if let Some(version) = versions.iter().find(|version| !data.versions.contains(version)) {
            return Err(format!("'{name}' is of version {version}, which the release does not have"));
        }
    }
    Ok(())
}

/// The fields cover the header without gap or overlap, and each table has a field that counts it.
fn layout(layout: &Layout) -> Result<(), String> {
    let end = fields(&layout.fields, 0)?;
    if end != layout.header_length || layout.alignment == 0 {
        return Err("the header fields are not as long as the header".to_owned());
    }
    let uncounted = layout.tables.iter().find(|table| !layout.fields.iter().any(|field| field.name == **table));
    uncounted.map_or(Ok(()), |table| Err(format!("no header field counts the table '{table}'")))
}

/// As for [`layout`]; the fields that the reader asks for are there.
fn early_layout(layout: &EarlyLayout) -> Result<(), String> {
    let end = fields(&layout.fields, 0)?;
    let has = |fields: &[HeaderField], name: &str| fields.iter().any(|field| field.name == name && field.width == 2);
    let mut missing = ["regex_table", "regexes"].into_iter().find(|name| !has(&layout.fields, name));
    if let Some(collection) = &layout.collection {
        fields(&collection.fields, end)?;
        missing = missing.or_else(|| (!has(&layout.fields, "flags")).then_some("flags"));
        missing = missing.or_else(|| (!has(&collection.fields, "profiles")).then_some("profiles"));
        if collection.record.first() != Some(&RecordWord::Name) {
            return Err("a record that does not begin with a name".to_owned());
        }
    }
    if layout.alignment == 0 {
        return Err("an alignment of nothing".to_owned());
    }
    for table in &layout.tables {
        let known = layout.fields.iter().any(|field| field.name == table.name) && has(&layout.fields, &table.place);
        if !known {
            return Err(format!("no header fields say where the table '{}' is and how long", table.name));
        }
    }
    missing.map_or(Ok(()), |name| Err(format!("the header has no field '{name}' of two bytes")))
}

/// Where the last of these fields ends.
fn fields(fields: &[HeaderField], start: usize) -> Result<usize, String> {
    let mut end = start;
    for field in fields {
        if field.offset != end || !matches!(field.width, 1 | 2) {
            return Err(format!("header field '{}' is not where the one before it ends", field.name));
        }
        end += field.width;
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::super::{GRAMMAR_FILES, Release};

    /// What is wrong with the text of a release in which `from` became `to`.
    fn broken(release: &str, from: &str, to: &str) -> String {
        let file = format!("{release}.json");
        let text = GRAMMAR_FILES.iter().find(|(name, _)| *name == file).map_or("", |(_, text)| *text);
        assert!(text.contains(from), "the test's own text is stale: {from}");
        Release::parse(&text.replacen(from, to, 1)).err().unwrap_or_default()
    }

    #[test]
    fn names_that_stand_for_two_things_are_found() {
        let twice = [
            (r#"{"name": "xattr", "#, r#"{"name": "signal", "#),
            (r#""name": "grant""#, r#""name": "errno""#),
            (r#""names": ["ipc-posix-shm-read-metadata""#, r#""names": ["subpath""#),
            (r#"{"name": "file-fsctl", "#, r#"{"name": "literal", "#),
            (r#"{"name": "file-fsctl", "#, r#"{"name": "signal", "#),
            (r#", "shadows": true"#, ""),
        ];
        for (from, to) in twice {
            assert!(broken("macos-14.4", from, to).contains("twice"), "{to}");
        }
    }

    #[test]
    fn versions_and_prerequisites_that_are_not_there_are_found() {
        assert!(broken("macos-10.15", r#""versions": [1]}"#, r#""versions": [2]}"#).contains("version 2"));
        assert!(
            broken("macos-14.4", r#""prerequisite": "%entitlement-load""#, r#""prerequisite": "%load""#)
                .contains("unknown filter '%load'")
        );
    }

    #[test]
    fn a_layout_with_a_gap_and_a_slot_behind_message_filters_are_found() {
        assert!(broken("ios-17", r#""offset": 2, "#, r#""offset": 3, "#).contains("where the one before it ends"));
        assert!(broken("ios-17", r#""header_length": 14"#, r#""header_length": 16"#).contains("as long as"));
        assert!(broken("ios-17", r#""tables": ["regexes""#, r#""tables": ["messages""#).contains("'messages'"));
        assert!(
            broken("macos-14.4", r#""name": "file-lock", "#, r#""name": "file-lock", "message_filter": true, "#)
                .contains("behind those of message filters")
        );
        assert!(
            broken("macos-10.15", r#""data_volume": "/System/Volumes/Data", "#, "").contains("without a data volume")
        );
    }

    #[test]
    fn an_early_layout_without_its_fields_is_found() {
        assert!(broken("ios-9.3", r#""name": "regexes""#, r#""name": "expressions""#).contains("'regexes'"));
        assert!(broken("ios-9.3", r#""name": "profiles""#, r#""name": "records""#).contains("'profiles'"));
        assert!(broken("ios-9.3", r#""offset": 6"#, r#""offset": 8"#).contains("where the one before it ends"));
        assert!(broken("ios-9.3", r#"["name", "flags"]"#, r#"["flags", "name"]"#).contains("begin with a name"));
    }

    #[test]
    fn what_is_inferred_names_keys_of_its_file() {
        for (file, text) in GRAMMAR_FILES {
            let value: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{file}: {error}"));
            let entries = value["inferred"].as_array().cloned().unwrap_or_default();
            for key in entries.iter().filter_map(|entry| entry["key"].as_str()) {
                let head = key.split('.').next().unwrap_or_default();
                assert!(value.get(head).is_some(), "{file}: {key}");
            }
        }
    }
}
