//! The lines of the stream in order of arrival: usage, what is wrong with it, commands and ticks.

use super::world::{Endpoint, World};
use super::{Edition, SPAN_MS, START_MS, commands, moment};
use crate::generator::random::Random;
use crate::generator::record::{UsageRecord, time_text};

const NETWORKS: [(&str, &str); 12] = [
    ("234", "15"),
    ("234", "10"),
    ("234", "30"),
    ("235", "94"),
    ("262", "01"),
    ("262", "02"),
    ("208", "01"),
    ("208", "10"),
    ("310", "410"),
    ("310", "41"),
    ("311", "480"),
    ("724", "05"),
];
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// A line and when it arrives; what arrives at the same moment keeps the order of creation.
pub(super) struct Arrival {
    pub(super) at: i64,
    pub(super) line: Vec<u8>,
}

pub(super) fn in_order_of_arrival(world: &World, records: u64, random: &mut Random) -> Vec<Vec<u8>> {
    let mut arrivals = Vec::new();
    commands::add(world, records / 15 + 5, &mut arrivals, random);
    let mut moments = times_in(&world.yaml(Edition::First));
    for command in &arrivals {
        moments.extend(times_in(&String::from_utf8_lossy(&command.line)));
    }
    let mut writer = Writer { arrivals, next_id: 0, moments, ends: world.ends() };
    while writer.next_id < records {
        match random.below(1000) {
            0..900 => writer.session(world, random),
            900..930 => writer.of_account(world, random),
            930..945 => writer.unknown(random),
            945..955 => writer.conflicting_identities(world, random),
            _ => writer.broken(world, random),
        }
    }
    let mut arrivals = writer.arrivals;
    for at in (START_MS..).step_by(6 * 3_600_000).take_while(|at| *at < START_MS + i64::try_from(SPAN_MS).unwrap_or(0))
    {
        arrivals.push(Arrival { at, line: format!("{{\"tick\":\"{}\"}}", time_text(at)).into_bytes() });
    }
    arrivals.sort_by_key(|arrival| arrival.at);
    arrivals.into_iter().map(|arrival| arrival.line).collect()
}

struct Writer {
    arrivals: Vec<Arrival>,
    next_id: u64,
    /// When something changes.
    moments: Vec<i64>,
    /// When the bundles of an endpoint end.
    ends: Vec<(usize, i64)>,
}

impl Writer {
    fn id(&mut self) -> String {
        self.next_id += 1;
        format!("u{}", self.next_id)
    }

    /// Some partial records of one session, or a call, or messages.
    fn session(&mut self, world: &World, random: &mut Random) {
        let mut endpoint = random.pick(&world.endpoints);
        let mut record = base(random);
        if random.chance(80) {
            // Rules begin and end at moments: just then, or a millisecond before.
            let moment = *random.pick(&self.moments) + some_length(random);
            record.event_time_ms = moment - i64::from(random.chance(300));
        }
        if !self.ends.is_empty() && random.chance(40) {
            let (position, end) = *random.pick(&self.ends);
            endpoint = &world.endpoints[position];
            record.event_time_ms = end - i64::from(random.chance(300));
        }
        if record.service == "data" {
            record.session_id =
                if random.chance(850) { format!("s{}-{}", self.next_id, endpoint.name) } else { String::new() };
        } else if random.chance(300) {
            record.session_id = format!("c{}-{}", self.next_id, endpoint.name);
        }
        if random.chance(30) {
            // Gateways and devices count their sessions for themselves.
            record.session_id = format!("s{}", random.below(5));
        }
        let partials = if record.session_id.is_empty() { 1 } else { random.between(1, 5) };
        for sequence in 1..=partials {
            record.id = self.id();
            name_endpoint(&mut record, endpoint, random);
            record.quantity = quantity(record.service, random);
            if record.service == "voice" && sequence == 1 && random.chance(300) {
                record.event_time_ms = just_before_a_band(record.event_time_ms, record.quantity, random);
            }
            record.sequence = (partials > 1).then_some(sequence);
            record.last = partials > 1 && sequence == partials;
            self.send(&record, random);
            if random.chance(30) {
                // What this one started may end just then.
                let event_time_ms = record.event_time_ms + some_length(random);
                let echo = UsageRecord { id: self.id(), event_time_ms, ..record.clone() };
                self.send(&echo, random);
            }
            record.event_time_ms += i64::try_from(random.heavy_tailed(10 * 60_000, 8)).unwrap_or(0);
            if random.chance(50) {
                (record.mcc, record.mnc) = *random.pick(&NETWORKS);
            }
        }
    }

    /// Records that name an account instead of an endpoint, some of them in sessions that others number alike.
    fn of_account(&mut self, world: &World, random: &mut Random) {
        let mut record = base(random);
        let account = random.pick(&world.accounts);
        let endpoint = random.pick(&world.endpoints);
        record.account_id = match random.below(10) {
            0..6 => account.name.clone(),
            6..9 => format!("{}/{}", world.accounts[endpoint.customer].name, endpoint.name),
            _ => "nobody".to_owned(),
        };
        if random.chance(700) {
            record.session_id = format!("s{}", random.below(5));
        }
        let partials = if record.session_id.is_empty() { 1 } else { random.between(1, 3) };
        for _ in 0..partials {
            record.id = self.id();
            record.quantity = quantity(record.service, random);
            self.send(&record, random);
            record.event_time_ms += i64::try_from(random.heavy_tailed(10 * 60_000, 8)).unwrap_or(0);
        }
    }

    fn unknown(&mut self, random: &mut Random) {
        let mut record = base(random);
        record.id = self.id();
        record.quantity = quantity(record.service, random);
        record.imsi = "999990000000001".to_owned();
        self.send(&record, random);
    }

    fn conflicting_identities(&mut self, world: &World, random: &mut Random) {
        let mut record = base(random);
        record.id = self.id();
        record.quantity = quantity(record.service, random);
        record.imsi.clone_from(&random.pick(&world.endpoints).imsi);
        let other = random.pick(&world.endpoints);
        match random.below(10) {
            0..4 => record.iccid.clone_from(&other.iccid),
            // Nobody's beside somebody's.
            8 => "447999999999".clone_into(&mut record.msisdn),
            9 => "meter-of-nobody".clone_into(&mut record.endpoint_id),
            4 => record.account_id.clone_from(&world.accounts[other.customer].name),
            5 => record.account_id = format!("{}/{}", world.accounts[other.customer].name, other.name),
            6 => record.account_id.clone_from(&random.pick(&world.accounts).name),
            _ => "nobody".clone_into(&mut record.account_id),
        }
        self.send(&record, random);
    }

    /// Lines that are no record, or one that cannot be true.
    fn broken(&mut self, world: &World, random: &mut Random) {
        let id = self.id();
        let at = moment(random);
        let time = time_text(at);
        let imsi = &random.pick(&world.endpoints).imsi;
        let line = match random.below(14) {
            0 => format!(
                "{{\"id\":\"{id}\",\"service\":\"data\",\"quantity\":-5,\"event_time\":\"{time}\",\"imsi\":\"{imsi}\"}}"
            ),
            1 => format!(
                "{{\"id\":\"{id}\",\"service\":\"data\",\"quantity\":1.5,\"event_time\":\"{time}\",\"imsi\":\"{imsi}\"}}"
            ),
            2 => format!(
                "{{\"id\":\"{id}\",\"service\":\"data\",\"quantity\":9223372036854775808,\"event_time\":\"{time}\",\"imsi\":\"{imsi}\"}}"
            ),
            3 => format!(
                "{{\"id\":\"{id}\",\"service\":\"data\",\"quantity\":10,\"event_time\":\"yesterday\",\"imsi\":\"{imsi}\"}}"
            ),
            4 => format!("{{\"id\":\"{id}\",\"service\":\"data\",\"quantity\":10,\"event_time\":\"{time}\"}}"),
            5 => format!("{{\"id\":\"{id}\",\"quantity\":10,\"event_time\":\"{time}\",\"imsi\":\"{imsi}\"}}"),
            6 => format!("{{\"service\":\"data\",\"quantity\":10,\"event_time\":\"{time}\",\"imsi\":\"{imsi}\"}}"),
            7 => format!("{{\"id\":\"{id}\",\"service\":\"data\",\"event_time\":\"{time}\",\"imsi\":\"{imsi}\"}}"),
            8 => format!("{{\"id\":\"{id}\",\"service\":\"data\",\"quantity\":10,\"imsi\":\"{imsi}\"}}"),
            9 => format!("{{\"id\":\"{id}\",\"service\":\"data\",\"quantity\":10,"),
            10 => "[1,2,3]".to_owned(),
            11 => "id;service;quantity".to_owned(),
            12 => String::new(),
            _ => "{\"tick\":\"no time at all\"}".to_owned(),
        };
        let mut line = line.into_bytes();
        if random.chance(50) {
            line.extend([0xff, 0xfe]);
        }
        self.arrivals.push(Arrival { at, line });
    }

    /// The record arrives, perhaps late, perhaps again, perhaps again as something else.
    fn send(&mut self, record: &UsageRecord, random: &mut Random) {
        let delay = match random.below(100) {
            0..80 => random.below(MINUTE_MS as u64),
            80..97 => random.heavy_tailed(60_000, 9),
            _ => random.below(9 * DAY_MS as u64),
        };
        let at = record.event_time_ms + i64::try_from(delay).unwrap_or(0);
        self.arrive(at, record);
        if random.chance(30) {
            self.arrive(at + i64::try_from(random.heavy_tailed(60_000, 12)).unwrap_or(0), record);
            if random.chance(300) {
                self.say_the_time_otherwise(record);
            }
        }
        if random.chance(6) {
            // Ids are unique per source only.
            self.arrive(at + 2, &UsageRecord { source: "pgw-2".to_owned(), ..record.clone() });
        }
        if random.chance(8) {
            let mut other = record.clone();
            match random.below(3) {
                0 => other.quantity = other.quantity.wrapping_add(1) & 0xffff,
                1 => other.event_time_ms += 1000,
                _ => other.apn = "other.example",
            }
            self.arrive(at + 1 + i64::try_from(random.heavy_tailed(60_000, 12)).unwrap_or(0), &other);
        }
    }

    /// The last copy has its event time in milliseconds, which changes nothing.
    fn say_the_time_otherwise(&mut self, record: &UsageRecord) {
        if let Some(copy) = self.arrivals.last_mut() {
            let text = format!("\"{}\"", time_text(record.event_time_ms));
            let line = String::from_utf8_lossy(&copy.line).replace(&text, &record.event_time_ms.to_string());
            copy.line = line.into_bytes();
        }
    }

    fn arrive(&mut self, at: i64, record: &UsageRecord) {
        let mut line = Vec::new();
        // Writing to memory cannot fail.
        let _ = record.write_json(&mut line);
        line.pop();
        self.arrivals.push(Arrival { at, line });
    }
}

/// The times that a text names.
fn times_in(text: &str) -> Vec<i64> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || "-:.".contains(letter)));
    words.filter_map(|word| word.parse::<jiff::Timestamp>().ok()).map(jiff::Timestamp::as_millisecond).collect()
}

/// On the same day, so that a call of `duration_s` is still going on when a band begins in one of the zones of tariffs.
fn just_before_a_band(moment: i64, duration_s: u64, random: &mut Random) -> i64 {
    let hour = *random.pick(&[0, 4, 5, 7, 8, 12, 13, 17, 18, 22, 23]);
    let before = i64::try_from(random.below(duration_s.min(7200) + 1)).unwrap_or(0);
    moment - moment.rem_euclid(DAY_MS) + hour * 3_600_000 - before * 1000
}

/// Nothing, or as long as bundles last, where clocks do not change.
fn some_length(random: &mut Random) -> i64 {
    let hours = *random.pick(&[0, 0, 0, 0, 36, 240, 14 * 24, 28 * 24, 30 * 24]);
    hours * 3_600_000
}

/// Everything but id, identity and quantity.
fn base(random: &mut Random) -> UsageRecord {
    let (mcc, mnc) = *random.pick(&NETWORKS);
    let mut record = UsageRecord {
        source: if random.chance(800) { String::new() } else { "pgw-1".to_owned() },
        event_time_ms: moment(random),
        mcc,
        mnc,
        ..UsageRecord::default()
    };
    if random.chance(500) {
        // On the second, where bundles begin and bands change.
        record.event_time_ms -= record.event_time_ms % 1000;
    }
    if random.chance(20) {
        (record.mcc, record.mnc) = ("", "");
    }
    record.service = match random.below(100) {
        0..70 => "data",
        70..85 => "voice",
        85..94 => "sms",
        94..99 => "sensor-event",
        _ => "fax",
    };
    if record.service == "data" {
        record.apn = *random.pick(&["iot.example", "iot.example", "corp.example", ""]);
        record.rat = *random.pick(&["lte", "nb-iot", ""]);
        record.rating_group = *random.pick(&[None, Some(1), Some(2), Some(7)]);
    }
    if record.service == "voice" || record.service == "sms" {
        let start = *random.pick(&["447", "441", "33", "1", "49", ""]);
        record.destination =
            if start.is_empty() { String::new() } else { format!("{start}{:08}", random.below(100_000_000)) };
    }
    record.direction = *random.pick(&["", "", "outgoing", "incoming"]);
    record.sponsor = *random.pick(&["", "", "", "orange", "tele"]);
    record.subscription_type = *random.pick(&["", "", "", "basic", "gold", "trial"]);
    record
}

/// One or several of its identities, all of them right.
fn name_endpoint(record: &mut UsageRecord, endpoint: &Endpoint, random: &mut Random) {
    for identity in [&mut record.imsi, &mut record.iccid, &mut record.msisdn, &mut record.endpoint_id] {
        identity.clear();
    }
    match random.below(6) {
        0 => record.imsi.clone_from(&endpoint.imsi),
        1 => record.imsi.clone_from(endpoint.second_imsi.as_ref().unwrap_or(&endpoint.imsi)),
        2 => record.iccid.clone_from(&endpoint.iccid),
        3 => record.msisdn.clone_from(&endpoint.msisdn),
        4 => record.endpoint_id.clone_from(&endpoint.name),
        _ => {
            record.imsi.clone_from(&endpoint.imsi);
            record.iccid.clone_from(&endpoint.iccid);
        }
    }
}

fn quantity(service: &str, random: &mut Random) -> u64 {
    if random.chance(15) {
        return 0;
    }
    match service {
        "data" if random.chance(3) => (1 << 58) >> random.below(20),
        "data" if random.chance(200) => random.between(1, 100) * 10_000,
        "data" => random.heavy_tailed(200_000, 9),
        "voice" => random.heavy_tailed(60, 7),
        "sms" => random.between(1, 3),
        _ => random.between(1, 40),
    }
}
