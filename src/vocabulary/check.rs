//! In: a parsed grammar file. Out: nothing, or what is wrong in it beyond what the maps of
//! [`super::Release`] show by themselves. Never: a repair.

use std::collections::HashSet;

use super::data::{Layout, ReleaseData};

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
    let mut end = 0;
    for field in &layout.fields {
        if field.offset != end || !matches!(field.width, 1 | 2) {
            return Err(format!("header field '{}' is not where the one before it ends", field.name));
        }
        end += field.width;
    }
    if end != layout.header_length || layout.alignment == 0 {
        return Err("the header fields are not as long as the header".to_owned());
    }
    let uncounted = layout.tables.iter().find(|table| !layout.fields.iter().any(|field| field.name == **table));
    uncounted.map_or(Ok(()), |table| Err(format!("no header field counts the table '{table}'")))
}
