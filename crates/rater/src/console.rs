//! Data to stdout, talk to stderr; colours only where a terminal shows them. Nothing foreign is obeyed by a terminal: all that is shown passes through
//! [`visible_lines`] or [`visible_json`] here.
//!
//! A reader that closes the pipe is not an error: what is left to say is dropped and the command ends as it would have.

use crate::args::{Color, Globals};
use crate::exit::Failure;
use directory::{Style, render_all, to_json, visible, visible_json, visible_lines};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::io::{IsTerminal, Write};

/// Where a command writes.
#[derive(Debug)]
pub(crate) struct Console {
    /// One JSON object instead of text.
    pub(crate) json: bool,
    verbose: bool,
    quiet: bool,
    /// Errors are events of a log that machines read.
    #[cfg(feature = "kafka")]
    talks_in_events: bool,
    stdout_paint: Paint,
    stderr_paint: Paint,
}

/// How much is said.
#[cfg(feature = "kafka")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Errors.
    Quiet,
    /// What matters.
    Normal,
    /// Everything that may help.
    Verbose,
}

/// What stands around the code of a colour until a text is shown: characters that no text has, so that an escape code in a text is none of ours.
const CODE: &str = "\u{fdd0}";
const END: &str = "\u{fdd1}";
/// Has a terminal forget what it shows.
#[cfg(feature = "kafka")]
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Puts colours around text, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Text as it is.
    Plain,
    /// Escape codes of a terminal.
    Coloured,
}

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Paint::Plain => text.to_owned(),
            Paint::Coloured => format!("{CODE}{code}{END}{text}{CODE}0{END}"),
        }
    }

    /// Makes a text ready for a terminal: foreign characters that it would obey are written as their codes, and our colours become its own.
    fn shown(self, text: &str) -> String {
        if self == Paint::Plain {
            return visible_lines(text).into_owned();
        }
        let mut parts = text.split(CODE);
        let mut shown = visible_lines(parts.next().unwrap_or_default()).into_owned();
        for part in parts {
            match part
                .split_once(END)
                .filter(|(code, _)| code.len() <= 2 && code.bytes().all(|byte| byte.is_ascii_digit()))
            {
                Some((code, rest)) => shown.extend(["\u{1b}[", code, "m", &*visible_lines(rest)]),
                None => shown.extend([&*visible(CODE), &*visible_lines(part)]),
            }
        }
        shown
    }

    /// For headings.
    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// For what matters less.
    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// For losses and errors.
    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// For what is proved.
    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// For what waits.
    pub(crate) fn warn(self, text: &str) -> String {
        self.wrap("33", text)
    }

    fn for_stream(color: Color, stream: &impl IsTerminal) -> Paint {
        let no_color = std::env::var_os("NO_COLOR").unwrap_or_default();
        let term = std::env::var_os("TERM").unwrap_or_default();
        let surface = if stream.is_terminal() { Surface::Terminal } else { Surface::Other };
        Paint::choose(color, surface, &no_color, &term)
    }

    fn choose(color: Color, surface: Surface, no_color: &OsStr, term: &OsStr) -> Paint {
        match (color, surface) {
            (Color::Always, _) => Paint::Coloured,
            (Color::Auto, Surface::Terminal) if no_color.is_empty() && term != "dumb" => Paint::Coloured,
            (Color::Auto | Color::Never, _) => Paint::Plain,
        }
    }
}

/// What a stream leads to.
#[derive(Clone, Copy)]
enum Surface {
    Terminal,
    Other,
}

impl Console {
    /// As the global options say.
    pub(crate) fn new(globals: &Globals) -> Console {
        Console {
            json: globals.json,
            verbose: globals.verbose,
            quiet: globals.quiet,
            #[cfg(feature = "kafka")]
            talks_in_events: false,
            stdout_paint: Paint::for_stream(globals.color, &std::io::stdout()),
            stderr_paint: Paint::for_stream(globals.color, &std::io::stderr()),
        }
    }

    /// How much was asked for.
    #[cfg(feature = "kafka")]
    pub(crate) fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, true) => Verbosity::Verbose,
            (false, false) => Verbosity::Normal,
        }
    }

    /// From now on errors are events, too.
    #[cfg(feature = "kafka")]
    pub(crate) fn talk_in_events(&mut self) {
        self.talks_in_events = true;
    }

    /// Colours of what is printed.
    pub(crate) fn paint(&self) -> Paint {
        self.stdout_paint
    }

    /// Colours of what is said.
    pub(crate) fn talk_paint(&self) -> Paint {
        self.stderr_paint
    }

    /// Whether progress may be shown.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.quiet && !self.json && std::io::stderr().is_terminal()
    }

    /// Writes lines. What is foreign in them is shown, and not obeyed.
    ///
    /// # Errors
    /// Stdout cannot be written; a closed pipe is no error.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.write(&self.stdout_paint.shown(text))
    }

    /// As [`Console::print`], in place of everything that the terminal shows.
    ///
    /// # Errors
    /// As [`Console::print`].
    #[cfg(feature = "kafka")]
    pub(crate) fn print_anew(&mut self, text: &str) -> Result<(), Failure> {
        self.write(&format!("{CLEAR}{}", self.stdout_paint.shown(text)))
    }

    /// Writes a document that others read: as it is, unless a person looks at it.
    ///
    /// # Errors
    /// As [`Console::print`].
    pub(crate) fn print_document(&mut self, text: &str) -> Result<(), Failure> {
        if std::io::stdout().is_terminal() { self.print(text) } else { self.write(text) }
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Failure::Surroundings(format!("stdout: {error}")))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Writes a JSON value and a line break.
    ///
    /// # Errors
    /// As [`Console::print`].
    pub(crate) fn print_json(&mut self, value: &Value) -> Result<(), Failure> {
        self.write(&visible_json(&format!("{value:#}\n")))
    }

    /// Writes a JSON value in a line.
    ///
    /// # Errors
    /// As [`Console::print`].
    #[cfg(feature = "kafka")]
    pub(crate) fn print_json_line(&mut self, json: &str) -> Result<(), Failure> {
        self.write(&visible_json(&format!("{json}\n")))
    }

    /// Says something that is not data. Nobody listening is fine.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet && !self.json {
            let _ = writeln!(std::io::stderr(), "{}", self.stderr_paint.shown(text));
        }
    }

    /// Says something that few want to know: only with `--verbose`.
    pub(crate) fn say_more(&self, text: &str) {
        if self.verbose {
            self.say(text);
        }
    }

    /// Shows why a command does not end with 0: on stderr, or as an object on stdout with `--json`.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        if self.json {
            let object = match failure {
                Failure::Findings => return,
                Failure::Reference(refused) => {
                    let errors = refused.diagnostics.iter().map(|error| to_json(&refused.sources, error));
                    json!({ "kind": failure.kind(), "count": refused.diagnostics.count(), "errors": errors.collect::<Vec<_>>() })
                }
                #[cfg(feature = "store")]
                Failure::Conflict(text) => json!({ "kind": failure.kind(), "message": text }),
                Failure::Folder(code, text) => json!({ "kind": failure.kind(), "code": code, "message": text }),
                Failure::Data(text) | Failure::Surroundings(text) | Failure::Control(text) => {
                    json!({ "kind": failure.kind(), "message": text })
                }
            };
            // There is no better place to complain about stdout.
            let _ = self.print_json(&json!({ "error": object }));
            return;
        }
        #[cfg(feature = "kafka")]
        if self.talks_in_events
            && let Failure::Data(text) | Failure::Surroundings(text) | Failure::Control(text) = failure
        {
            tracing::error!(kind = failure.kind(), "{text}");
            return;
        }
        let text = match failure {
            Failure::Findings => return,
            Failure::Reference(refused) => {
                let style = match self.stderr_paint {
                    Paint::Plain => Style::Plain,
                    Paint::Coloured => Style::Coloured,
                };
                // Its colours are not ours, and its names are visible.
                let text = render_all(&refused.sources, &refused.diagnostics, style);
                let _ = std::io::stderr().write_all(text.as_bytes());
                return;
            }
            #[cfg(feature = "store")]
            Failure::Conflict(text) => format!("{} {}\n", self.stderr_paint.bad("error:"), indented(text)),
            Failure::Folder(code, text) => {
                format!("{} {}\n", self.stderr_paint.bad(&format!("error[{code}]:")), indented(text))
            }
            Failure::Data(text) | Failure::Surroundings(text) => {
                format!("{} {}\n", self.stderr_paint.bad("error:"), indented(text))
            }
            Failure::Control(text) => format!(
                "{} {text}\nnothing of the batch was committed; this is a defect of rater, please report it\n",
                self.stderr_paint.bad("error:")
            ),
        };
        let _ = std::io::stderr().write_all(self.stderr_paint.shown(&text).as_bytes());
    }
}

/// Puts the further lines of an error below its text, so that none of them looks like another message.
fn indented(text: &str) -> String {
    const BELOW: &str = "       ";
    let mut lines = text.lines();
    let mut shown = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        shown.push('\n');
        if !line.starts_with(BELOW) {
            shown.push_str(BELOW);
        }
        shown.push_str(line);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        use Color::{Always, Auto, Never};
        use Surface::{Other, Terminal};
        let cases = [
            (Auto, Terminal, "", "xterm", Paint::Coloured),
            (Auto, Terminal, "1", "xterm", Paint::Plain),
            (Auto, Terminal, "", "dumb", Paint::Plain),
            (Auto, Other, "", "xterm", Paint::Plain),
            (Always, Other, "1", "dumb", Paint::Coloured),
            (Never, Terminal, "", "xterm", Paint::Plain),
        ];
        for (color, surface, no_color, term, expected) in cases {
            assert_eq!(Paint::choose(color, surface, OsStr::new(no_color), OsStr::new(term)), expected);
        }
    }
}
