//! `rater topics`: what the topics of a deployment have to be like, what they are like, and making them so.

use super::run::{kafka_settings, of_log, topic_names};
use crate::args::{Command, NewTopicOptions, TopicsArgs, TopicsCommand};
use crate::config_file;
use crate::console::Console;
use crate::exit::Failure;
use crate::present::{Align, Table};
use crate::settings;
use clap::ArgMatches;
use runtime::kafka::{FoundTopic, KafkaAdmin};
use runtime::service::plan::{Answer, Asked, Finding, RetentionAsked, TopicPlan, length, plan};
use runtime::service::rights::{Resource, Right, rights};
use runtime::service::topics::{CleanUp, Retention, wanted};
use runtime::worker::log::LogError;
use serde_json::{Value, json};

/// Plans, and applies the plan.
///
/// # Errors
/// `plan`: [`Failure::Findings`] where there is something to do or to decide. `apply`: what would lose messages or part what belongs together;
/// then nothing is done at all.
pub(crate) fn run(command: &TopicsCommand, matches: &ArgMatches, console: &mut Console) -> Result<(), Failure> {
    match command {
        TopicsCommand::Plan(args) => show(&Deployment::new(args, matches)?, console),
        TopicsCommand::Apply(args) => apply(&Deployment::new(args, matches)?, console),
    }
}

struct Deployment {
    admin: KafkaAdmin,
    plans: Vec<TopicPlan>,
    rights: Vec<Right>,
    asked: Asked,
}

impl Deployment {
    fn new(args: &TopicsArgs, matches: &ArgMatches) -> Result<Deployment, Failure> {
        let merged;
        let args = match &args.config {
            None => args,
            Some(path) => {
                let action = matches.subcommand().and_then(|(_, topics)| topics.subcommand_name()).unwrap_or_default();
                let (arguments, _) = config_file::merge(path, &["topics", action], matches)?;
                match arguments.command {
                    Command::Topics(TopicsCommand::Plan(args) | TopicsCommand::Apply(args)) => merged = args,
                    _ => return Err(Failure::Data(format!("{}: not for this command", path.display()))),
                }
                &*merged
            }
        };
        let names = topic_names(&args.topics);
        let asked = asked(&args.new, args.topics.skip_intake);
        let wanted = wanted(&names, retention(&args.new)?, args.topics.skip_intake);
        let rights = rights(&names, &wanted);
        let admin = KafkaAdmin::new(kafka_settings(&args.kafka)?).map_err(failure)?;
        let names: Vec<String> = wanted.iter().map(|topic| topic.name.clone()).collect();
        let found = admin.find(&names).map_err(failure)?;
        let plans = plan(wanted, &found, &asked).map_err(Failure::Data)?;
        Ok(Deployment { admin, plans, rights, asked })
    }
}

fn asked(options: &NewTopicOptions, skip_intake: bool) -> Asked {
    Asked {
        inputs: options.input_partitions,
        intaken: options.intaken_partitions,
        guided: options.guided_partitions,
        outputs: options.output_partitions,
        replication: options.replication,
        retention: RetentionAsked {
            input: options.input_retention.is_some(),
            internal: options.internal_retention.is_some(),
            output: options.output_retention.is_some(),
        },
        skip_intake,
    }
}

fn retention(options: &NewTopicOptions) -> Result<Retention, Failure> {
    let length = |option: &str, text: &Option<String>| -> Result<Option<u64>, Failure> {
        let Some(text) = text else { return Ok(None) };
        let milliseconds = settings::milliseconds(option, text)?;
        u64::try_from(milliseconds)
            .ok()
            .filter(|length| *length > 0)
            .map(Some)
            .ok_or_else(|| Failure::Data(format!("{option}: \"{text}\" keeps nothing")))
    };
    Ok(Retention {
        input: length("--input-retention", &options.input_retention)?,
        internal: length("--internal-retention", &options.internal_retention)?,
        output: length("--output-retention", &options.output_retention)?,
    })
}

fn failure(error: LogError) -> Failure {
    of_log(&error, error.to_string())
}

fn show(deployment: &Deployment, console: &mut Console) -> Result<(), Failure> {
    let Deployment { plans, rights, asked, .. } = deployment;
    if console.json {
        console.print_json(&json!({
            "topics": plans.iter().map(|plan| topic_json(plan, asked)).collect::<Vec<_>>(),
            "rights": rights.iter().map(right_json).collect::<Vec<_>>(),
        }))?;
    } else {
        let paint = console.paint();
        let mut text = table(plans, asked).render(paint);
        let findings = plans.iter().flat_map(|plan| plan.findings.iter().map(move |finding| (plan, finding)));
        for (at, (plan, finding)) in findings.enumerate() {
            text.push_str(if at == 0 { "\n" } else { "" });
            let (name, Finding { what, harm, .. }) = (&plan.wanted.name, finding);
            let answer = match finding.answer {
                Answer::Refuse => paint.bad("yours to decide"),
                Answer::Grow(_) | Answer::Set(..) => paint.warn("apply mends it"),
                Answer::Hint => paint.dim("hint"),
            };
            text.push_str(&format!("{answer}  {name}: {what}: {harm}\n"));
        }
        text.push('\n');
        text.push_str(&rights_table(rights).render(paint));
        text.push_str(ALL_ACCOUNTS);
        let open = plans.iter().filter(|plan| plan.is_open()).count();
        text.push_str(&match open {
            0 => format!("\n{}\n", paint.good("nothing to do ✓")),
            open => format!("\n{open} of {} topics are not as they should be: rater topics apply\n", plans.len()),
        });
        console.print(&text)?;
    }
    if plans.iter().any(TopicPlan::is_open) { Err(Failure::Findings) } else { Ok(()) }
}

fn table(plans: &[TopicPlan], asked: &Asked) -> Table {
    let mut table = Table::new(&[
        ("TOPIC", Align::Left),
        ("PARTITIONS", Align::Right),
        ("CLEAN-UP", Align::Left),
        ("COPIES", Align::Right),
        ("TO DO", Align::Left),
        ("FOR", Align::Left),
    ]);
    for plan in plans {
        let have = plan.found.as_ref().map(|found| found.partitions);
        let partitions = match have {
            Some(have) if have == plan.partitions => have.to_string(),
            Some(have) => format!("{have} -> {}", plan.partitions),
            None => plan.partitions.to_string(),
        };
        let clean_up = match (plan.wanted.clean_up, &plan.found) {
            (CleanUp::Compact, _) => "compact".to_owned(),
            (CleanUp::DeleteAfter(least), found) => length(kept(found.as_ref()).unwrap_or(least)),
        };
        let copies = match (&plan.found, asked.replication) {
            (Some(found), _) => found.replication.to_string(),
            (None, Some(asked)) => asked.to_string(),
            (None, None) => "cluster's".to_owned(),
        };
        let purpose = plan.wanted.role.purpose().to_owned();
        table.row(vec![plan.wanted.name.clone(), partitions, clean_up, copies, to_do(plan), purpose], "");
    }
    table
}

/// For how long a topic keeps messages, if it is there.
fn kept(found: Option<&FoundTopic>) -> Option<u64> {
    let kept: i64 = found?.settings.get("retention.ms")?.parse().ok()?;
    Some(u64::try_from(kept).unwrap_or(u64::MAX))
}

fn to_do(plan: &TopicPlan) -> String {
    if plan.found.is_none() {
        return "make".to_owned();
    }
    if plan.refused().next().is_some() {
        return "decide".to_owned();
    }
    let done: Vec<String> = (plan.findings.iter())
        .filter_map(|finding| match &finding.answer {
            Answer::Grow(partitions) => Some(format!("{partitions} partitions")),
            Answer::Set(name, value) => Some(format!("{name}={value}")),
            Answer::Refuse | Answer::Hint => None,
        })
        .collect();
    if done.is_empty() { "–".to_owned() } else { done.join(", ") }
}

/// What a right to read is a right to (DESIGN-2, section 9).
const ALL_ACCOUNTS: &str = "Every output topic holds all accounts: who may read one sees of it what the operator sees. Give none to resellers or customers.\n";

fn rights_table(rights: &[Right]) -> Table {
    let mut table = Table::new(&[("WHO", Align::Left), ("MAY", Align::Left), ("WITH", Align::Left)]);
    for right in rights {
        let with = match &right.resource {
            Resource::Topic(name) => format!("topic {name}"),
            Resource::Groups(prefix) => format!("groups {prefix}*"),
            Resource::TransactionalIds(prefix) => format!("transactional ids {prefix}*"),
            Resource::OwnGroup => "a group of its own".to_owned(),
        };
        table.row(vec![right.party.to_owned(), right.operations.join(", "), with], "");
    }
    table
}

fn topic_json(plan: &TopicPlan, asked: &Asked) -> Value {
    let findings = plan.findings.iter().map(|Finding { what, harm, answer }| {
        let answer = match answer {
            Answer::Grow(partitions) => json!({ "partitions": partitions }),
            Answer::Set(name, value) => json!({ "set": { *name: value } }),
            Answer::Refuse => json!("refused"),
            Answer::Hint => json!("hint"),
        };
        json!({ "what": what, "harm": harm, "answer": answer })
    });
    let settings: serde_json::Map<String, Value> =
        plan.wanted.settings().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    json!({
        "topic": plan.wanted.name,
        "purpose": plan.wanted.role.purpose(),
        "exists": plan.found.is_some(),
        "partitions": { "have": plan.found.as_ref().map(|found| found.partitions), "want": plan.partitions },
        "replication": { "have": plan.found.as_ref().map(|found| found.replication), "want": asked.replication },
        "settings_when_made": settings,
        "to_do": to_do(plan),
        "open": plan.is_open(),
        "findings": findings.collect::<Vec<_>>(),
    })
}

fn right_json(right: &Right) -> Value {
    let resource = match &right.resource {
        Resource::Topic(name) => json!({ "type": "topic", "name": name, "pattern": "literal" }),
        Resource::Groups(prefix) => json!({ "type": "group", "name": prefix, "pattern": "prefixed" }),
        Resource::TransactionalIds(prefix) => {
            json!({ "type": "transactional_id", "name": prefix, "pattern": "prefixed" })
        }
        Resource::OwnGroup => json!({ "type": "group", "name": null, "pattern": "literal" }),
    };
    json!({ "party": right.party, "operations": right.operations, "resource": resource })
}

fn apply(deployment: &Deployment, console: &mut Console) -> Result<(), Failure> {
    let Deployment { admin, plans, asked, .. } = deployment;
    let refused: Vec<String> = (plans.iter())
        .flat_map(|plan| plan.refused().map(move |finding| (plan, finding)))
        .map(|(plan, finding)| format!("topic {}: {}: {}", plan.wanted.name, finding.what, finding.harm))
        .collect();
    if !refused.is_empty() {
        return Err(Failure::Data(format!("{}\n       nothing was done", refused.join("\n       "))));
    }
    let mut done = Vec::new();
    for plan in plans {
        let name = &plan.wanted.name;
        let Some(found) = &plan.found else {
            let mut settings = plan.wanted.settings();
            // With three copies one broker may be away, and two have every message.
            if asked.replication.is_some_and(|copies| copies >= 3) {
                settings.push(("min.insync.replicas", "2".to_owned()));
            }
            admin.create(name, plan.partitions, asked.replication, &settings).map_err(failure)?;
            done.push(format!("topic {name} made with {} partitions", plan.partitions));
            continue;
        };
        let mut settings = Vec::new();
        for finding in &plan.findings {
            match &finding.answer {
                Answer::Grow(partitions) => {
                    admin.grow(name, *partitions).map_err(failure)?;
                    done.push(format!("topic {name} has {partitions} partitions now"));
                }
                Answer::Set(setting, value) => settings.push((*setting, value.clone())),
                Answer::Refuse | Answer::Hint => {}
            }
        }
        if !settings.is_empty() {
            admin.set(name, found, &settings).map_err(failure)?;
            let shown: Vec<String> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
            done.push(format!("topic {name}: {}", shown.join(", ")));
        }
    }
    if console.json {
        return console.print_json(&json!({ "done": done }));
    }
    if done.is_empty() {
        done.push("nothing to do ✓".to_owned());
    }
    console.print(&format!("{}\n", done.join("\n")))
}
