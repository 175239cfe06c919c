//! The commands of the README beside the programs, in its order, and what it says that they put out.

use crate::deployment::LEVELS;
use crate::programs::{Neighbours, Program, example};
use crate::support::Ran;
use std::process::Command;

/// Texts of the code blocks after `<!-- MARKER -->`, in order.
fn blocks(text: &str, marker: &str) -> Vec<String> {
    let marker = format!("<!-- {marker} -->\n");
    let after = text.split(marker.as_str()).skip(1);
    let inside = |part: &str| {
        let (_, block) = part.split_once("```").expect("a block");
        let (block, _) = block.split_once("```").expect("an end of the block");
        block.split_once('\n').expect("a language").1.to_owned()
    };
    after.map(inside).collect()
}

#[test]
fn the_commands_of_the_readme_do_what_it_says() {
    let neighbours = Neighbours::without_topics("readme");
    let readme = std::fs::read_to_string(example("README.md")).expect("the README");
    let shell = |block: &str| {
        let mut command = Command::new("bash");
        neighbours.environment(&mut command);
        command.args(["-euo", "pipefail", "-c", block]);
        command
    };
    let told = |block: &str, code: i32| {
        let ran = Ran::from(shell(block).output().expect("bash runs")).expect(code);
        // A broker that has just started makes Kafka's client say so, in lines of its own that begin with a level.
        let said = format!("{}{}", ran.stdout, ran.stderr);
        said.lines().filter(|line| !line.starts_with('%')).map(|line| format!("{line}\n")).collect::<String>()
    };
    let one = |marker: &str| {
        let mut found = blocks(&readme, marker);
        assert_eq!(found.len(), 1, "blocks after {marker}");
        found.remove(0)
    };
    told(&one("topics command"), 0);
    let running = Program::start(&mut shell(&format!("exec {}", one("pipeline command"))));
    assert_eq!(told(&one("feed command"), 0), one("feed output"));
    told(&one("top-up command"), 0);
    // The README's reader takes longer than the pipeline.
    neighbours.wait_until("command-replies", 1);
    neighbours.wait_until("charges", 4 * LEVELS);
    told(&one("book command"), 0);
    assert_eq!(told(&one("verify command"), 0), one("verify output"));
    running.ask_to_end();
    running.expect(0);
}
