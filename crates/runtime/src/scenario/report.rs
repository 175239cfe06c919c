//! What a person and a build server read: differences as tables, results as JUnit XML, and files with their expectations put right.

use super::parse::ScenarioFile;
use super::run::{FileReport, ScenarioReport};
use std::fmt;

impl fmt::Display for FileReport {
    /// One line per scenario, and under it what differs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for scenario in &self.scenarios {
            let mark = if scenario.findings.is_empty() { "ok  " } else { "FAIL" };
            writeln!(f, "{mark} {}:{} {}", self.name, scenario.line, scenario.title)?;
            f.write_str(&findings(&self.name, scenario))?;
        }
        Ok(())
    }
}

fn findings(name: &str, scenario: &ScenarioReport) -> String {
    let mut text = String::new();
    for finding in &scenario.findings {
        text.push_str(&format!("{name}:{}: {}\n", finding.line, finding.title));
        for row in &finding.rows {
            text.push_str(&format!("  {row}\n"));
        }
    }
    text
}

/// Results as JUnit XML: a suite per file, a case per scenario. No times: results do not depend on the clock.
pub fn junit(reports: &[FileReport]) -> String {
    let count = |of: &dyn Fn(&ScenarioReport) -> bool, report: &FileReport| {
        report.scenarios.iter().filter(|scenario| of(scenario)).count()
    };
    let failed = |scenario: &ScenarioReport| !scenario.findings.is_empty();
    let (tests, failures) =
        reports.iter().fold((0, 0), |(all, bad), report| (all + report.scenarios.len(), bad + count(&failed, report)));
    let mut xml =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{tests}\" failures=\"{failures}\">\n");
    for report in reports {
        let name = escape(&report.name);
        let (tests, failures) = (report.scenarios.len(), count(&failed, report));
        xml.push_str(&format!("  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\">\n"));
        for scenario in &report.scenarios {
            let title = escape(&scenario.title);
            let case = format!(
                "    <testcase classname=\"{name}\" name=\"{title}\" file=\"{name}\" line=\"{}\"",
                scenario.line
            );
            xml.push_str(&case);
            match scenario.findings.first() {
                None => xml.push_str("/>\n"),
                Some(first) => {
                    let text = escape(&findings(&report.name, scenario));
                    let message = escape(&first.title);
                    xml.push_str(&format!(
                        ">\n      <failure message=\"{message}\">{text}</failure>\n    </testcase>\n"
                    ));
                }
            }
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// Text for XML. Characters that XML cannot hold become the replacement character.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Who wants expectations rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// A person, who looks at the difference before it is kept.
    Person,
    /// A build server: an expectation that is rewritten there is not one.
    BuildServer,
}

impl Writer {
    /// A build server sets the variable `CI`.
    pub fn from_environment() -> Writer {
        match std::env::var_os("CI") {
            Some(value) if !value.is_empty() => Writer::BuildServer,
            Some(_) | None => Writer::Person,
        }
    }
}

/// Expectations are not rewritten on a build server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateRefused;

impl fmt::Display for UpdateRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expectations are not rewritten where the environment variable CI is set")
    }
}

impl std::error::Error for UpdateRefused {}

/// The file with every table of expectations that differs as it would have to be, aligned; all other bytes stay. Tables that a
/// scenario would need in addition are not invented.
///
/// # Errors
/// Asked for by a build server.
pub fn updated(file: &ScenarioFile, report: &FileReport, writer: Writer) -> Result<String, UpdateRefused> {
    match writer {
        Writer::BuildServer => return Err(UpdateRefused),
        Writer::Person => {}
    }
    let mut text = String::with_capacity(file.text.len());
    let mut kept = 0;
    // Edits stand in the order of the file, because steps run in that order.
    for edit in &report.edits {
        text.push_str(file.text.get(kept..edit.bytes.start).unwrap_or_default());
        let replaced = file.text.get(edit.bytes.clone()).unwrap_or_default();
        let line_break = if replaced.contains("\r\n") { "\r\n" } else { "\n" };
        text.push_str(&edit.lines.join(line_break));
        kept = edit.bytes.end;
    }
    text.push_str(file.text.get(kept..).unwrap_or_default());
    Ok(text)
}
