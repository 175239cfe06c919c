//! Scenarios as texts: errors with their places, differences, rewriting, JUnit XML, coverage, and no panic on any Markdown.

use runtime::scenario::{Writer, junit, parse, run, updated};

const STORY: &str = "# A meter

```yaml reference
format: rater/v1
tariffs:
  retail:
    currency: GBP
    versions:
      - from: 2026-01-01T00:00:00Z
        rates:
          - { service: data, price: 0.10/MB }
          - { service: sms, price: 0.05/message }
          - { service: voice, blocked: true }
  plus: { alias_of: retail, markup: { data: 0.05/MB } }
bundles:
  pool: { currency: GBP, elements: [{ service: data, amount: 1 MB }, { service: sms, amount: 1 }] }
accounts:
  northstar: { kind: operator, currency: GBP }
  acme: { kind: customer, parent: northstar, currency: GBP, tariff: retail, bundles: [pool] }
endpoints:
  meter-1: { customer: acme }
```

## Usage
| id | service | quantity | event_time           | endpoint |
|----|---------|---------:|----------------------|----------|
| r1 | data    |     3 MB | 2026-03-05T14:00:00Z | meter-1  |
| r2 | voice   |      1 s | 2026-03-05T14:01:00Z | meter-1  |

## Charges
| usage | amount |
| ----- | -----: |
| r1    |    0.2 |

## Suspense
| usage | reason  |
| ----- | ------- |
| r2    | blocked |
";

fn passes(text: &str) -> bool {
    run(&parse("story.md", text).unwrap_or_else(|errors| panic!("{errors}"))).has_passed()
}

/// The story with one thing changed.
fn changed(from: &str, to: &str) -> String {
    assert!(STORY.contains(from), "{from}");
    STORY.replacen(from, to, 1)
}

#[test]
fn a_story_passes_and_fails() {
    assert!(passes(STORY));
    let wrong = [
        ("|    0.2 |", "|   0.21 |"),
        ("| r1    |    0.2 |\n", ""),
        ("| r1    |    0.2 |\n", "| r1    |    0.2 |\n| r1    |    0.2 |\n"),
        ("| r2    | blocked |", "| r2    | no_rate |"),
        // What nothing expects.
        ("\n## Suspense\n| usage | reason  |\n| ----- | ------- |\n| r2    | blocked |\n", ""),
        ("| r2 | voice ", "| r1 | data    |     3 MB | 2026-03-05T14:00:00Z | meter-1  |\n| r2 | voice "),
        // Reference data that is refused.
        ("tariff: retail, bundles", "tariff: retale, bundles"),
    ];
    for (from, to) in wrong {
        assert!(!passes(&changed(from, to)), "passes with {to:?} for {from:?}");
    }
}

#[test]
fn what_is_equal_need_not_be_written_alike() {
    for equal in ["0.20", "0.2", "0.2000000000"] {
        assert!(passes(&changed("|    0.2 |", &format!("| {equal} |"))), "{equal}");
    }
    assert!(passes(&STORY.replace('\n', "\r\n")));
}

#[test]
fn differences_are_shown_as_a_table_with_the_line() {
    let file = parse("story.md", &changed("|    0.2 |", "|   0.21 |")).expect("a scenario");
    let text = run(&file).to_string();
    let expected = "\
FAIL story.md:1 A meter
story.md:33: Charges: 1 expected and missing, 1 happened and not expected
    | usage | amount |
    | ----- | -----: |
  - | r1    |   0.21 |  line 33
  + | r1    |   0.20 |
";
    assert_eq!(text, expected);
}

#[test]
fn reference_errors_name_the_line_of_the_scenario_file() {
    let file = parse(
        "story.md",
        &changed(
            "parent: northstar, currency: GBP, tariff: retail",
            "parent: southstar, currency: GBP, tariff: retail",
        ),
    )
    .expect("a scenario");
    let report = run(&file).to_string();
    let line = STORY.lines().position(|line| line.contains("acme: {")).expect("a line") + 1;
    assert!(report.contains(&format!("story.md:{line}:")), "{report}");
}

#[test]
fn all_errors_of_a_text_are_told_at_once() {
    let text = "\
Words.

## Usage

## Chargs
| usage | amount |

## Charges
| usage | amuont |
| ----- | ------ |

# Two
```yaml refrence
```
## Usage
| id | id | quantity |
| -- | -- | -------- |
| r1 | r1 | 3 XB     |
| r1 | r1 |
## Balances
| account | balance |
| ------- | ------- |
| acme    | much    |
## Duplicates
many
## Tick
today
~~~
";
    let errors = parse("bad.md", text).expect_err("errors").to_string();
    let expected = "\
bad.md:3:1: a table is missing under this heading
bad.md:5:4: \"Chargs\" is not a section; sections are Settings, Usage, Commands, Tick, Recycle, Charges, Suspense, Allowances, Balances, Deltas, Notifications, Duplicates
bad.md:6:1: a table needs a line of dashes under its header: | --- | --- |";
    assert!(errors.starts_with(expected), "{errors}");
    for part in [
        "bad.md:9:11: there is no column \"amuont\" in Charges",
        "bad.md:13:4: \"yaml refrence\" means nothing",
        "bad.md:19:8: 2 cells under a header of 3",
        "bad.md:23:13: \"much\" is not an amount",
        "bad.md:25:1: \"many\" is not a number of duplicates",
        "bad.md:27:1: \"today\" is not a time",
        "bad.md:28:1: this fenced block is never closed",
    ] {
        assert!(errors.contains(part), "{part} is missing in\n{errors}");
    }
    assert!(parse("empty.md", "").is_err());
    assert!(parse("words.md", "# Nothing\n\nis expected\n").is_err());
}

#[test]
fn updating_puts_tables_right_and_keeps_every_other_byte() {
    for story in [STORY.to_owned(), STORY.replace('\n', "\r\n")] {
        let wrong = story.replace("|    0.2 |", "| 12345.67 |").replace("blocked |", "no_rate |");
        let file = parse("story.md", &wrong).expect("a scenario");
        let report = run(&file);
        let text = updated(&file, &report, Writer::Person).expect("written by a person");
        let right = story.replace("|    0.2 |", "|   0.20 |");
        assert_eq!(text, right);
        assert!(updated(&file, &report, Writer::BuildServer).is_err());
        // What passes is not touched, however it is aligned.
        let file = parse("story.md", &story).expect("a scenario");
        assert_eq!(updated(&file, &run(&file), Writer::Person).expect("written by a person"), story);
    }
}

#[test]
fn updating_fills_empty_tables() {
    let empty = changed("| r1    |    0.2 |\n", "");
    let file = parse("story.md", &empty).expect("a scenario");
    let text = updated(&file, &run(&file), Writer::Person).expect("written by a person");
    assert_eq!(text, changed("|    0.2 |", "|   0.20 |"));
}

#[test]
fn results_are_written_as_junit_xml() {
    let failing = changed("|    0.2 |", "|   0.21 |").replace("# A meter", "# A <meter> & \"more\"");
    let reports = [STORY, &failing].map(|text| run(&parse("story.md", text).expect("a scenario")));
    let xml = junit(&reports);
    assert!(
        xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"2\" failures=\"1\">\n"),
        "{xml}"
    );
    assert!(xml.contains("<testcase classname=\"story.md\" name=\"A meter\" file=\"story.md\" line=\"1\"/>"), "{xml}");
    assert!(xml.contains("name=\"A &lt;meter&gt; &amp; &quot;more&quot;\""), "{xml}");
    assert!(
        xml.contains("<failure message=\"Charges: 1 expected and missing, 1 happened and not expected\">"),
        "{xml}"
    );
}

#[test]
fn coverage_names_what_no_row_used() {
    let report = run(&parse("story.md", STORY).expect("a scenario"));
    let line = |part: &str| STORY.lines().position(|line| line.contains(part)).expect("a line") + 1;
    let expected = format!(
        "3 of 6 rates, aliases and elements used\n\
         story.md:{}: no row uses retail@2026-01-01T00:00:00Z sms root\n\
         story.md:{}: no row uses plus (alias of retail)\n\
         story.md:{}: no row uses pool element 2 (sms)\n",
        line("service: sms, price"),
        line("plus: {"),
        line("pool: {")
    );
    assert_eq!(report.coverage.to_string(), expected);
}

/// A small generator: what is mutated where is a function of the seed.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % below.max(1)
    }
}

#[test]
fn no_text_makes_it_panic() {
    let seed = std::env::var("RATER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    println!("RATER_SEED={seed}");
    let mut random = Random(seed);
    let pieces = [
        "|",
        "\n",
        "#",
        "## ",
        "```",
        "~~~",
        "\\|",
        "-",
        ":",
        "é",
        "\u{feff}",
        "\r",
        "0",
        "9999999999999999999",
        "---",
        "| --- |",
        "yaml reference",
        "",
        "\t",
        "\u{1}",
    ];
    let mut parsed = 0;
    for _ in 0..1500 {
        let mut text: Vec<char> = STORY.chars().collect();
        for _ in 0..=random.next(4) {
            let at = random.next(text.len() + 1);
            let end = (at + random.next(6)).min(text.len());
            let piece = pieces[random.next(pieces.len())];
            text.splice(at..end, piece.chars());
        }
        let text: String = text.into_iter().collect();
        if let Ok(file) = parse("mutated.md", &text) {
            parsed += 1;
            let report = run(&file);
            let rewritten = updated(&file, &report, Writer::Person).expect("written by a person");
            let _ = (report.to_string(), junit(std::slice::from_ref(&report)), report.coverage.to_string());
            // Whatever was put right can be read again.
            if let Err(errors) = parse("rewritten.md", &rewritten) {
                panic!("{errors}\n{rewritten}");
            }
        }
    }
    assert!(parsed > 100, "only {parsed} mutations were scenarios");
}

/// The page about scenarios.
fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/scenarios.md");
    std::fs::read_to_string(path).expect("docs/scenarios.md")
}

#[test]
fn the_example_of_the_page_passes_and_is_covered() {
    let page = page();
    let (_, rest) = page.split_once("````markdown\n").expect("the example begins");
    let (example, _) = rest.split_once("````").expect("the example ends");
    let report = run(&parse("docs/scenarios.md", example).unwrap_or_else(|errors| panic!("{errors}")));
    assert!(report.has_passed(), "{report}");
    assert_eq!(report.coverage.to_string(), "3 of 3 rates, aliases and elements used\n");
}

#[test]
fn the_page_shows_a_failure_as_it_is() {
    let page = page();
    let (_, rest) = page.split_once("````markdown\n").expect("the example begins");
    let (example, _) = rest.split_once("````").expect("the example ends");
    let wrong = example.replace("|   0.20 | rated  |       0 |     1 MB |", "|   0.19 | rated  |       0 |     1 MB |");
    let report = run(&parse("tests/roaming.md", &wrong).unwrap_or_else(|errors| panic!("{errors}"))).to_string();
    assert!(page.contains(&report), "{report}");
}

#[test]
fn the_page_names_every_section_and_column() {
    let page = page();
    let told = |text: &str| parse("x.md", text).expect_err("an error").to_string();
    let listed = |errors: &str, after: &str| -> Vec<String> {
        let line = errors.lines().find(|line| line.contains(after)).expect("a list");
        let (_, list) = line.split_once(after).expect("a list");
        list.split(", ").map(str::to_owned).collect()
    };
    for section in listed(&told("# X\n## Nothing\n"), "sections are ") {
        assert!(page.contains(&format!("`## {section}`")), "{section}");
        let errors = told(&format!("# X\n## {section}\n| nothing |\n| --- |\n"));
        if errors.contains("columns are ") {
            let columns = listed(&errors, "columns are ").join(", ");
            assert!(page.contains(&format!("| {columns} |")), "{section}: {columns}");
        }
    }
}

#[test]
fn equal_names_in_different_scenarios_are_covered_apart() {
    let second =
        STORY.replace("# A meter", "# Another").replace("| r1 | data    |     3 MB", "| r1 | sms     |        1");
    let second = second.replace("| r1    |    0.2 |", "| r1    |      0 |");
    let report = run(&parse("story.md", &format!("{STORY}\n{second}")).expect("scenarios"));
    assert!(report.has_passed(), "{report}");
    assert!(
        report.coverage.to_string().starts_with("5 of 12 rates, aliases and elements used\n"),
        "{}",
        report.coverage
    );
}
