//! Rows that people open with a spreadsheet: no text from outside is a formula there, and no number is a text.

use crate::support::{example, rater, write};

/// Texts that a spreadsheet would compute, and what stands in the cell.
const FORMULAS: [(&str, &str); 5] = [
    ("=cmd|'/C calc'!A0", "'=cmd|'/C calc'!A0"),
    ("+1", "'+1"),
    ("-1", "'-1"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("'=1", "''=1"),
];

#[test]
fn texts_are_no_formulas_and_amounts_stay_numbers() {
    let folder = example();
    let usage: String = FORMULAS
        .iter()
        .map(|(id, _)| {
            format!("{{\"id\":\"{id}\",\"service\":\"data\",\"quantity\":4000000,\"event_time\":\"2026-03-05T14:00:00Z\",\"imsi\":\"001010000000001\",\"source\":\"{id}\"}}\n")
        })
        .collect();
    let command = r#"{"type":"command","command_id":"=2","kind":"debit","account_id":"acme","amount":"5","currency":"GBP","effective_time":"2026-03-05T14:00:00Z","issued_by":"northstar","note":"+y"}"#;
    write(folder.path(), "=in.jsonl", &format!("{usage}{command}\n=HYPERLINK(\"x\")\n"));
    let arguments = ["rate", "=in.jsonl", "-r", "rating.yaml", "--format", "csv"];
    rater(folder.path(), &arguments).expect(0);
    let read = |name: &str| std::fs::read_to_string(folder.path().join("out").join(name)).expect("an output");
    let (charges, deltas, suspense) = (read("charges.csv"), read("balance-deltas.csv"), read("suspense.csv"));
    for (_, cell) in FORMULAS {
        let row = charges.lines().find(|row| row.split(',').any(|found| found == cell)).expect(cell);
        assert_eq!(row.split(',').filter(|found| *found == cell).count(), 2, "id and source: {row}");
    }
    assert!(deltas.contains(",-5,GBP,") && deltas.contains(",'=2,,northstar,'+y,"), "{deltas}");
    assert!(suspense.contains("\"'=HYPERLINK(\"\"x\"\")\"") && suspense.contains("'=in.jsonl"), "{suspense}");
    // Amounts have a sign of their own.
    let negative = deltas.lines().flat_map(|row| row.split(',')).filter(|cell| cell.starts_with('-')).count();
    assert!(negative > 0 && !deltas.contains("'-0") && !deltas.contains("'-5"), "{deltas}");
    for table in [&charges, &deltas, &suspense] {
        for cell in table.lines().flat_map(|row| row.split(',')) {
            let cell = cell.trim_start_matches('"');
            let is_number = cell.strip_prefix('-').is_some_and(|rest| rest.parse::<f64>().is_ok());
            assert!(is_number || !cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell}");
        }
    }
    // Who reads it back gets the text.
    for (id, _) in FORMULAS {
        let arguments = ["explain", "-r", "rating.yaml", "--json", "--", id];
        let explained = rater(folder.path(), &arguments).expect(0).json();
        let found = &explained["explanations"][0];
        assert_eq!(found["charges"][0]["usage_id"], *id, "{explained:#}");
        assert_eq!(found["charges"][0]["usage_source"], *id);
        assert_eq!(found["file"], "=in.jsonl");
        assert_eq!(found["differences"].as_array().map(Vec::len), Some(0), "{explained:#}");
    }
    let explained = rater(folder.path(), &["explain", "=2", "-r", "rating.yaml", "--json"]).expect(0).json();
    assert_eq!(explained["explanations"][0]["deltas"][0]["reason"], "+y", "{explained:#}");
}

#[test]
fn endpoints_may_be_written_so_too() {
    let folder = example();
    let rows = "endpoint,customer,imsi\n'-meter,acme,001010000000009\n";
    write(folder.path(), "endpoints.csv", rows);
    rater(folder.path(), &["check", "rating.yaml", "endpoints.csv"]).expect(0);
    let quote = ["quote", "--endpoint=-meter", "--quantity", "1 MB", "--at", "2026-03-05T14:00:00Z"];
    let found = rater(folder.path(), &[&quote[..], &["-r", "rating.yaml", "-r", "endpoints.csv"]].concat()).expect(0);
    assert!(found.stdout.contains("-meter"), "{}", found.stdout);
    write(folder.path(), "endpoints.csv", &rows.replace("'-", "'"));
    let said = rater(folder.path(), &["check", "rating.yaml", "endpoints.csv"]).expect(2).stderr;
    assert!(said.contains("\"'meter\" is not a name"), "{said}");
}
