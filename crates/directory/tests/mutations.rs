//! Damaged reference data is refused or loaded, but never crashes the loader.
//!
//! `RATER_SEED=123 RATER_ROUNDS=100000 cargo test -p rater-directory --test mutations` replays a seed or runs longer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use directory::{Input, InputKind, load};

const EVERYTHING: &str = include_str!("data/everything.yaml");
const ENDPOINTS: &str = "endpoint,customer,imsi,iccid,msisdn,group,active,plan_tariff\n\
                         meter-90,acme,001010000000090,,,default,2026-01-01T00:00:00Z,retail\n\
                         \"meter-91\",acme,,,\"447700900091\",none,,\n";

/// A small generator with a period that is long enough (xorshift64*): equal seeds give equal damage on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Pieces that mean something at the places where they may land.
const PIECES: &[&[u8]] = &[
    b"",
    b"\n",
    b" ",
    b"\t",
    b":",
    b"- ",
    b",",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"'",
    b"#",
    b"&a",
    b"*a",
    b"!!int",
    b"~",
    b"---\n",
    b"...\n",
    b"\xff",
    b"\0",
    b"\xc3\xa9",
    b"\xef\xbb\xbf",
    b"-1",
    b"0",
    b"99999999999999999999",
    b"0.00000000001",
    b"NaN",
    b"1e9",
    b"\r\n",
    b"| \n",
    b"/",
    b"KB",
    b"2026-02-30T00:00:00Z",
    b"9999-12-31T23:59:59Z",
    b"root",
    b"acme",
    b"plus",
    b"? ",
    b"%YAML 9\n",
    b"<<: ",
];

fn damage(random: &mut Random, text: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        let at = random.below(text.len() + 1);
        match random.below(6) {
            0 => text.truncate(at),
            1 => {
                let end = (at + random.below(40)).min(text.len());
                text.drain(at..end);
            }
            2 if at < text.len() => text[at] = random.below(256) as u8,
            3 => {
                let start = random.below(text.len() + 1);
                let end = (start + random.below(60)).min(text.len());
                let copy = text[start..end].to_vec();
                text.splice(at..at, copy);
            }
            _ => {
                let piece = PIECES[random.below(PIECES.len())];
                let end = (at + random.below(piece.len() + 1)).min(text.len());
                text.splice(at..end, piece.iter().copied());
            }
        }
    }
}

/// Loads, and shows what is wrong in both forms: showing must not crash either.
fn try_load(yaml: &[u8], csv: &[u8]) {
    let input = |name: &str, bytes: &[u8], kind| Input { name: name.into(), bytes: bytes.to_vec(), kind };
    let inputs = vec![input("a.yaml", yaml, InputKind::Yaml), input("b.csv", csv, InputKind::EndpointCsv)];
    if let Err(refused) = load(inputs) {
        assert!(refused.diagnostics.count() > 0, "refused without a reason");
        assert!(!refused.to_string().is_empty());
        for diagnostic in &refused.diagnostics {
            directory::to_json(&refused.sources, diagnostic);
        }
    }
}

#[test]
fn random_damage_never_crashes_the_loader() {
    let seed = number("RATER_SEED", 20_260_101);
    let rounds = number("RATER_ROUNDS", 3000);
    for round in 0..rounds {
        // Every round has a seed of its own, so that one failure can be replayed alone.
        let own = seed.wrapping_add(round);
        let mut random = Random(own.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (mut yaml, mut csv) = (EVERYTHING.as_bytes().to_vec(), ENDPOINTS.as_bytes().to_vec());
        let target = if random.below(4) == 0 { &mut csv } else { &mut yaml };
        damage(&mut random, target);
        let outcome = catch_unwind(AssertUnwindSafe(|| try_load(&yaml, &csv)));
        assert!(
            outcome.is_ok(),
            "RATER_SEED={own} RATER_ROUNDS=1 crashes the loader:\n{}\n{}",
            String::from_utf8_lossy(&yaml),
            String::from_utf8_lossy(&csv)
        );
    }
}

/// Every prefix: the ends of files are where readers trip.
#[test]
fn truncation_never_crashes_the_loader() {
    for end in 0..EVERYTHING.len() {
        try_load(&EVERYTHING.as_bytes()[..end], b"endpoint,customer\n");
    }
    for end in 0..ENDPOINTS.len() {
        try_load(EVERYTHING.as_bytes(), &ENDPOINTS.as_bytes()[..end]);
    }
}

fn scenario_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference-errors")
}

/// Files that are broken already, broken further: errors about errors.
#[test]
fn damage_to_broken_files_never_crashes_the_loader() {
    let seed = number("RATER_SEED", 20_260_102);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(scenario_directory()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for (number, path) in
        files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).enumerate()
    {
        let mut random = Random(seed.wrapping_add(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let original = std::fs::read(path).unwrap();
        for _ in 0..8 {
            let mut yaml = original.clone();
            damage(&mut random, &mut yaml);
            let outcome = catch_unwind(AssertUnwindSafe(|| try_load(&yaml, ENDPOINTS.as_bytes())));
            assert!(outcome.is_ok(), "RATER_SEED={seed} {}:\n{}", path.display(), String::from_utf8_lossy(&yaml));
        }
    }
}
