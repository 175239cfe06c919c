//! Makes a failing case small: steps first, then the reference data, as long as some difference stays and time lasts.

use crate::Case;
use std::time::{Duration, Instant};
use testkit::generator::traffic::Step;

const TIME_LIMIT: Duration = Duration::from_secs(90);

/// A case that still fails, and from which hardly anything can be left out.
pub(crate) fn shrink(mut case: Case, fails: impl Fn(&Case) -> bool) -> Case {
    let started = Instant::now();
    let in_time = || started.elapsed() < TIME_LIMIT;
    first_failing_prefix(&mut case, &fails);
    for _ in 0..2 {
        drop_steps(&mut case, &fails, in_time);
        let mut reference = case.reference.clone();
        drop_blocks(&mut reference, in_time, |text| fails(&Case { reference: text.to_owned(), ..case.clone() }));
        case.reference = reference;
        for at in 0..case.steps.len() {
            let Step::Replace(mut reference) = case.steps[at].clone() else {
                continue;
            };
            drop_blocks(&mut reference, in_time, |text| {
                let mut smaller = case.clone();
                smaller.steps[at] = Step::Replace(text.to_owned());
                fails(&smaller)
            });
            case.steps[at] = Step::Replace(reference);
        }
    }
    case
}

/// Cuts what follows the first difference, by halving.
fn first_failing_prefix(case: &mut Case, fails: &impl Fn(&Case) -> bool) {
    let (mut passes, mut fails_at) = (0, case.steps.len());
    while passes + 1 < fails_at {
        let middle = passes.midpoint(fails_at);
        let prefix = Case { steps: case.steps[..middle].to_vec(), ..case.clone() };
        if fails(&prefix) {
            fails_at = middle;
        } else {
            passes = middle;
        }
    }
    case.steps.truncate(fails_at);
}

fn drop_steps(case: &mut Case, fails: &impl Fn(&Case) -> bool, in_time: impl Fn() -> bool) {
    let mut size = case.steps.len().div_ceil(2);
    while size > 0 {
        let mut start = case.steps.len();
        while start > 0 && in_time() {
            let end = start;
            start = start.saturating_sub(size);
            let mut smaller = case.clone();
            smaller.steps.drain(start..end);
            if fails(&smaller) {
                *case = smaller;
            }
        }
        size /= 2;
    }
}

/// Drops lines of YAML, each with those that are indented below it, and items of lists within a line.
fn drop_blocks(text: &mut String, in_time: impl Fn() -> bool, fails: impl Fn(&str) -> bool) {
    let mut at = text.lines().count();
    while at > 1 && in_time() {
        at -= 1;
        let lines: Vec<&str> = text.lines().collect();
        let indentation = |line: &str| line.len() - line.trim_start().len();
        let Some(first) = lines.get(at) else {
            continue;
        };
        let below = lines[at + 1..].iter().take_while(|line| indentation(line) > indentation(first)).count();
        let kept = lines[..at].iter().chain(&lines[at + 1 + below..]);
        let smaller: String = kept.flat_map(|line| [*line, "\n"]).collect();
        if fails(&smaller) {
            *text = smaller;
        }
    }
    // `, key: value` and `, { ... }` within the lines that are left.
    let mut end = text.len();
    while let Some(start) = text[..end].rfind(", ") {
        end = start;
        if !in_time() {
            return;
        }
        let length = length_of_item(&text[start + 2..]);
        let smaller = format!("{}{}", &text[..start], &text[start + 2 + length..]);
        if fails(&smaller) {
            *text = smaller;
        }
    }
}

/// Up to the comma or bracket that ends an item of a list or map.
fn length_of_item(text: &str) -> usize {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' | '[' => depth += 1,
            '}' | ']' if depth == 0 => return text[..at].trim_end().len(),
            '}' | ']' => depth -= 1,
            ',' if depth == 0 => return at,
            '\n' => return at,
            _ => {}
        }
    }
    text.len()
}
