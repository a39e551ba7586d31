//! In: diagnostics by file. Out: a SARIF 2.1.0 log, as code hosts read it. Never: what is wrong;
//! that is decided elsewhere.

use serde_sarif::sarif::{
    ArtifactLocation, Location, Message, PhysicalLocation, Region, ReportingDescriptor, Result as Finding, ResultLevel,
    Run, Sarif, Tool, ToolComponent,
};

use crate::sbpl::{Diagnostic, Severity};

/// The log of one run of a verb.
#[must_use]
pub fn log(diagnostics: &[Diagnostic]) -> Sarif {
    let mut codes: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let rules: Vec<_> = codes.into_iter().map(|code| ReportingDescriptor::builder().id(code).build()).collect();
    let driver = ToolComponent::builder().name("sbtool").version(env!("CARGO_PKG_VERSION")).rules(rules).build();
    let results: Vec<_> = diagnostics.iter().map(finding).collect();
    let run = Run::builder().tool(Tool::builder().driver(driver).build()).results(results).build();
    Sarif::builder().version("2.1.0").schema("https://json.schemastore.org/sarif-2.1.0.json").runs(vec![run]).build()
}

fn finding(diagnostic: &Diagnostic) -> Finding {
    let level = match diagnostic.severity {
        Severity::Error => ResultLevel::Error,
        Severity::Warning => ResultLevel::Warning,
        Severity::Note => ResultLevel::Note,
    };
    let text = match &diagnostic.help {
        Some(help) => format!("{} ({help})", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    let message = |text: &str| Message::builder().text(text).build();
    let related: Vec<_> = diagnostic
        .via
        .iter()
        .map(|via| {
            Location::builder()
                .message(message(&format!("by {}", via.what)))
                .physical_location(place(&via.place.file, via.place.line, via.place.column))
                .build()
        })
        .collect();
    let place = place(&diagnostic.place.file, diagnostic.place.line, diagnostic.place.column);
    Finding::builder()
        .rule_id(diagnostic.code)
        .level(level)
        .message(message(&text))
        .locations(vec![Location::builder().physical_location(place).build()])
        .related_locations(related)
        .build()
}

fn place(file: &str, line: u32, column: u32) -> PhysicalLocation {
    PhysicalLocation::builder()
        .artifact_location(ArtifactLocation::builder().uri(file).build())
        .region(Region::builder().start_line(i64::from(line)).start_column(i64::from(column)).build())
        .build()
}
