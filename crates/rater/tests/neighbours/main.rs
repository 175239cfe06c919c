//! The neighbours of the pipeline in `examples/neighbours`, with the real program, broker and database: what goes in once comes out once,
//! whoever is killed meanwhile, and books that are wrong are found out.
#![cfg(feature = "kafka")]

#[allow(dead_code, reason = "each test binary uses its own part of the helper")]
#[path = "../surroundings/deployment.rs"]
mod deployment;
mod programs;
mod readme;
#[path = "../support/mod.rs"]
mod support;

use deployment::{LEVELS, write_file};
use programs::{Neighbours, Program, gateway, run};
use std::thread;
use std::time::Duration;
use testkit::registry::TestRegistry;

const FILES: [&str; 3] = ["pgw-1", "pgw-2", "pgw-3"];
const LINES: usize = 700;
const KILLS: usize = 5;

/// The first two texts of a record in the single-object encoding: its id and its source.
fn identity(message: &[u8]) -> (String, String) {
    let mut rest = &message[10..];
    let mut text = || {
        // Lengths below 64 take a byte, whose lowest bit is the sign.
        let (length, after) = rest.split_first().expect("a length");
        let (text, after) = after.split_at(usize::from(length >> 1));
        rest = after;
        String::from_utf8(text.to_vec()).expect("text")
    };
    let (id, source) = (text(), text());
    (source, id)
}

#[test]
fn each_record_is_fed_charged_and_booked_once_whoever_is_killed() {
    let neighbours = Neighbours::new("kills");
    let deployment = &neighbours.deployment;
    let (mut records, mut known, mut bad) = (Vec::new(), 0, Vec::new());
    let folder = deployment.folder.path().join("records");
    std::fs::create_dir(&folder).expect("a folder");
    for node in FILES {
        let (text, written) = gateway(node, LINES);
        write_file(&folder, &format!("{node}.csv"), &text);
        records.extend(written.records);
        known += written.known;
        bad.extend(written.bad_lines.into_iter().map(|line| (format!("{node}.csv"), line)));
    }
    let mut running = deployment.start(&[]);
    for kill in 0..KILLS {
        let mut feeder = Program::start(&mut neighbours.feeder(&["--batch", "20", "-v", "records"]));
        feeder.wait_for("committed", 10 + kill);
        // The next transaction is open by now.
        thread::sleep(Duration::from_millis(kill as u64 * 3));
        feeder.kill();
        // What was fed is being charged: there is something to book.
        let mut billing = Program::start(&mut neighbours.billing("run", &neighbours.database(), &[]));
        billing.wait_for("booked ", 1);
        thread::sleep(Duration::from_millis(kill as u64 * 50));
        billing.kill();
    }
    neighbours.top_up("t-1", "10.00");
    let said = run(&mut neighbours.feeder(&["--batch", "20", "records"])).expect(0).stderr;
    assert_eq!(said.matches("all 701 lines read").count(), FILES.len(), "{said}");
    // What is sent again under its id is done once.
    neighbours.top_up("t-1", "10.00");
    neighbours.top_up("t-2", "0.0000000001");
    deployment.wait_for("charges", known * LEVELS, &mut running);
    deployment.wait_for("command-replies", 3, &mut running);
    running.stop();

    let mut fed: Vec<_> = deployment.read("usage").iter().map(|message| identity(&message.value)).collect();
    fed.sort();
    records.sort();
    assert!(fed == records, "{} records are on the topic, {} were written", fed.len(), records.len());
    let header = |message: &deployment::Read1, name: &str| {
        message.headers.iter().find(|(key, _)| key == name).expect("the header").1.clone()
    };
    let mut rejected: Vec<_> = (deployment.read("usage-rejects").iter())
        .map(|message| (header(message, "file"), header(message, "line")))
        .collect();
    rejected.sort();
    bad.sort();
    assert_eq!(rejected, bad);

    neighbours.book(0);
    let said = neighbours.verify(&neighbours.database(), 0);
    assert!(said.contains("the books are the pipeline's"), "{said}");
    let counts = "select (select count(*) from charges), (select count(*) from ledger), (select sum(amount) from ledger \
                  where command_id is not null)";
    let expected = format!("{} {} 10.0000000001\n", known * LEVELS, known * LEVELS + 2);
    assert_eq!(neighbours.ask(counts), expected);

    // All of it once more, as after a loss of the positions.
    neighbours.ask("update offsets set next_offset = 0");
    neighbours.book(0);
    assert_eq!(neighbours.ask(counts), expected);
    neighbours.verify(&neighbours.database(), 0);

    check_that_wrong_books_are_found_out(&neighbours);
}

/// Each mistake in a copy of the books.
fn check_that_wrong_books_are_found_out(neighbours: &Neighbours) {
    let refused = neighbours.refused("delete from ledger where account_id = 'beta' and sequence = 3");
    assert!(refused.contains("rows of ledger are never changed"), "{refused}");
    let mistakes: [(&str, &[&str], &str); 4] = [
        ("deleted", &["delete from ledger where account_id = 'beta' and sequence = 3"], "beta: delta 3: booked  to "),
        (
            "doubled",
            &[
                "insert into ledger select account_id, sequence + 1, delta_id || '-', kind, amount, currency, balance_after + amount, \
                       charge_id, command_id, reverses, effective_time from ledger where account_id = 'beta' order by sequence desc limit 1",
            ],
            "beta: balance ",
        ),
        (
            "changed",
            &["update balances set balance = balance - 0.0000000001 where account_id = 'acme/meter-1'"],
            "acme/meter-1: balance ",
        ),
        // As if the last delta had been passed over: the books agree with themselves.
        (
            "skipped",
            &[
                "update balances set sequence = sequence - 1, balance = (select balance_after from ledger as l \
                       where l.account_id = 'beta' and l.sequence = balances.sequence - 1) where account_id = 'beta'",
                "delete from charges where charge_id = (select charge_id from ledger where account_id = 'beta' \
                       order by sequence desc limit 1)",
                "delete from ledger where account_id = 'beta' and sequence = (select max(sequence) from ledger \
                       where account_id = 'beta')",
            ],
            "beta: balance ",
        ),
    ];
    let mut skipped = String::new();
    for (name, statements, words) in mistakes {
        let copy = neighbours.copy(name);
        let statements = [&["set session_replication_role = replica"], statements].concat();
        neighbours.on(&copy, &statements);
        let said = neighbours.verify(&copy, 1);
        assert!(said.contains(words) && said.contains(" differences"), "{name}: {said}");
        skipped = copy;
    }
    // The next delta of that account finds its predecessor missing.
    let mut running = neighbours.deployment.start(&[]);
    let charged = neighbours.deployment.read("charges").len();
    neighbours.deployment.write_usage(0, 1);
    neighbours.deployment.wait_for("charges", charged + LEVELS, &mut running);
    running.stop();
    let said = run(&mut neighbours.billing("run", &skipped, &["--until-end"])).expect(1).stderr;
    assert!(said.contains("error: account beta: delta ") && said.contains(" is missing"), "{said}");
}

#[test]
fn a_second_feeder_of_a_name_takes_over_and_the_first_one_stops() {
    let neighbours = Neighbours::new("fencing");
    let folder = neighbours.deployment.folder.path().join("records");
    std::fs::create_dir(&folder).expect("a folder");
    let put = |node: &str| {
        write_file(&folder, "part", &gateway(node, 100).0);
        std::fs::rename(folder.join("part"), folder.join(format!("{node}.csv"))).expect("renamed");
    };
    let options = ["--batch", "10", "-v", "--follow", "records"];
    put("pgw-1");
    let mut first = Program::start(&mut neighbours.feeder(&options));
    first.wait_for("all 101 lines read", 1);
    let mut second = Program::start(&mut neighbours.feeder(&options));
    second.wait_for("all 101 lines read", 1);
    put("pgw-2");
    first.expect(4);
    second.wait_for("all 101 lines read", 1);
    second.ask_to_end();
    second.expect(0);
    let fed = neighbours.deployment.read("usage");
    let mut distinct: Vec<_> = fed.iter().map(|message| identity(&message.value)).collect();
    distinct.sort();
    distinct.dedup();
    assert_eq!((fed.len(), distinct.len()), (2 * 98, 2 * 98));

    // Another file under an old name is nothing that can be gone on with.
    write_file(&folder, "pgw-1.csv", &gateway("pgw-3", 200).0);
    let said = run(&mut neighbours.feeder(&["records"])).expect(2).stderr;
    assert!(said.contains("are not those that were fed under this name"), "{said}");
    write_file(&folder, "pgw-0.csv", "nodeID,chargingID\n");
    let said = run(&mut neighbours.feeder(&["records"])).expect(2).stderr;
    assert!(said.contains("pgw-0.csv: the header lacks recordSequenceNumber, ratingGroup, "), "{said}");
}

#[test]
fn with_a_registry_both_speak_confluents_framing() {
    let neighbours = Neighbours::new("registered");
    let server = TestRegistry::start().expect("a free port");
    let (deployment, url) = (&neighbours.deployment, server.url());
    let (text, written) = gateway("pgw-1", 50);
    write_file(deployment.folder.path(), "pgw-1.csv", &text);
    let register = ["schema", "register", "--registry-url", &url, "--topic-prefix", &deployment.prefix];
    support::rater(deployment.folder.path(), &register).expect(0);
    let mut running = deployment.start(&["--registry-url", &url]);
    run(&mut neighbours.feeder(&["--registry", &url, "pgw-1.csv"])).expect(0);
    assert!(deployment.read("usage").iter().all(|message| message.value[0] == 0), "a schema id");
    deployment.wait_for("charges", written.known * LEVELS, &mut running);
    // JSON of the same records: they are duplicates by their ids.
    run(&mut neighbours.feeder(&["--name", "other", "--format", "json", "pgw-1.csv"])).expect(0);
    deployment.write_usage(0, 1);
    deployment.wait_for("charges", (written.known + 1) * LEVELS, &mut running);
    running.stop();
    let options = ["--registry", &url, "--until-end"];
    let mut billing = Program::start(&mut neighbours.billing("run", &neighbours.database(), &options[..2]));
    billing.wait_for("booked ", 1);
    billing.ask_to_end();
    billing.expect(0);
    // Asked to end, it left what it had not begun.
    run(&mut neighbours.billing("run", &neighbours.database(), &options)).expect(0);
    run(&mut neighbours.billing("verify", &neighbours.database(), &options[..2])).expect(0);
    assert_eq!(neighbours.ask("select count(*) from charges"), format!("{}\n", (written.known + 1) * LEVELS));
    // Without the registry nobody can say what the bytes mean.
    let copy = neighbours.copy("blind");
    neighbours.on(&copy, &["update offsets set next_offset = 0"]);
    let said = run(&mut neighbours.billing("run", &copy, &["--until-end"])).expect(1).stderr;
    assert!(said.contains("neither framing nor schema is known"), "{said}");
}

#[test]
fn killed_in_the_middle_of_a_transaction_the_billing_has_booked_nothing_of_it() {
    let neighbours = Neighbours::new("middle");
    neighbours.write(&["c1:1.50:1:-1.50"]);
    neighbours.book(0);
    let state =
        "select (select sum(next_offset) from offsets), (select count(*) from charges), (select count(*) from ledger)";
    assert_eq!(neighbours.ask(state), "2 1 1\n");
    // Positions are moved and charges are written when it comes to the ledger, which somebody else has locked.
    let holder = neighbours.hold("lock table ledger in share mode");
    neighbours.write(&["c2:0.25:2:-1.75"]);
    let billing = Program::start(&mut neighbours.billing("run", &neighbours.database(), &[]));
    neighbours
        .wait_for_rows("select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like 'copy ledger%'");
    billing.kill();
    holder.kill();
    assert_eq!(neighbours.ask(state), "2 1 1\n");
    neighbours.book(0);
    assert_eq!(neighbours.ask(state), "4 2 2\n");
    neighbours.verify(&neighbours.database(), 0);
}

#[test]
fn two_that_book_into_the_same_books_double_nothing_and_one_of_them_stops() {
    let neighbours = Neighbours::new("second");
    let mut both = [(); 2].map(|()| Program::start(&mut neighbours.billing("run", &neighbours.database(), &[])));
    let mut written = 0;
    // Both read the next message, and only one finds the position where it left it.
    let stopped = loop {
        written += 1;
        assert!(written < 100, "both go on");
        neighbours.write(&[&format!("c{written}:1.00:{written}:-{written}.00")]);
        if let Some(stopped) = both.iter_mut().position(Program::has_ended) {
            break stopped;
        }
    };
    let [first, second] = both;
    let (stopped, other) = if stopped == 0 { (first, second) } else { (second, first) };
    assert!(stopped.expect(1).contains("somebody else books into this database, too"));
    other.ask_to_end();
    other.expect(0);
    neighbours.book(0);
    assert_eq!(neighbours.ask("select count(*) from ledger"), format!("{written}\n"));
    neighbours.verify(&neighbours.database(), 0);
}

#[test]
fn reversals_are_entries_of_their_own_linked_to_what_they_take_back() {
    let neighbours = Neighbours::new("reversals");
    neighbours.write(&["c1:1.50:1:-1.50", "c2:0.25:2:-1.75", "r1:-1.50:3:-0.25:c1"]);
    neighbours.book(0);
    neighbours.verify(&neighbours.database(), 0);
    let linked = "select b.charge_id, b.amount, a.charge_id, a.amount from charges as a join charges as b on b.reverses = a.charge_id";
    assert_eq!(neighbours.ask(linked), "r1 -1.5000000000 c1 1.5000000000\n");
    assert_eq!(neighbours.ask("select balance, sequence from balances"), "-0.2500000000 3\n");

    neighbours.write(&["r2:-0.20:4:-0.05:c2"]);
    neighbours.book(0);
    let said = neighbours.verify(&neighbours.database(), 1);
    assert!(said.contains("charge r2: -0.2000000000 reverses 0.2500000000 of c2"), "{said}");

    // Nothing is taken back twice, and what cannot be booked moves no position.
    neighbours.write(&["r3:-1.50:5:1.45:c1"]);
    assert!(neighbours.book(1).stderr.contains("charges_reverses_key"));
    assert!(neighbours.book(1).stderr.contains("charges_reverses_key"));
    assert_eq!(neighbours.ask("select count(*) from ledger"), "4\n");
}
