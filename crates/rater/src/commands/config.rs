//! `rater config`: every setting of `rate`, `run`, `topics` and `directory`, and where its value comes from. The page docs/configuration.md is made of the same table.

#[cfg(any(feature = "kafka", feature = "store"))]
use crate::args::ShowOf;
use crate::args::{self, Arguments, ConfigCommand, ShowArgs};
use crate::console::Console;
use crate::exit::Failure;
use crate::present::{Align, Table};
use crate::settings;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory};
use serde_json::json;
use std::path::Path;

/// A setting as it is.
struct Setting {
    name: String,
    value: String,
    origin: String,
}

/// Shows settings, or the page.
///
/// # Errors
/// Stdout cannot be written.
pub(crate) fn run(command: &ConfigCommand, matches: &ArgMatches, console: &mut Console) -> Result<(), Failure> {
    match command {
        ConfigCommand::Page => console.print_document(&page()),
        ConfigCommand::Show(args) => show(args, matches, console),
    }
}

fn show(args: &ShowArgs, matches: &ArgMatches, console: &mut Console) -> Result<(), Failure> {
    let (names, file): (&[&str], Option<&Path>) = match &args.of {
        None => (&["config", "show"], None),
        #[cfg(feature = "kafka")]
        Some(ShowOf::Run(args)) => (&["config", "show", "run"], args.config.as_deref()),
        #[cfg(feature = "kafka")]
        Some(ShowOf::Topics(args)) => (&["config", "show", "topics"], args.config.as_deref()),
        #[cfg(feature = "store")]
        Some(ShowOf::Directory(args)) => (&["config", "show", "directory"], args.store.config()),
        #[cfg(not(any(feature = "kafka", feature = "store")))]
        Some(other) => match *other {},
    };
    let given = args::given(names, matches);
    let with_file = match file {
        #[cfg(any(feature = "kafka", feature = "store"))]
        Some(path) => Some(crate::config_file::merge(path, names, matches)?.1),
        #[cfg(not(any(feature = "kafka", feature = "store")))]
        Some(_) => None,
        None => None,
    };
    let merged = with_file.as_ref().map_or(given, |matches| args::given(names, matches));
    let settings: Vec<Setting> = options(names).iter().map(|option| setting(option, merged, given, file)).collect();
    if console.json {
        let each = settings
            .iter()
            .map(|setting| json!({ "setting": setting.name, "value": setting.value, "origin": setting.origin }));
        return console.print_json(&each.collect());
    }
    let mut table = Table::new(&[("SETTING", Align::Left), ("VALUE", Align::Left), ("ORIGIN", Align::Left)]);
    for setting in settings {
        table.row(vec![setting.name, setting.value, setting.origin], "");
    }
    let text = table.render(console.paint());
    console.print(&text)
}

/// The settings of a command: all its options that an environment variable can set.
fn options(names: &[&str]) -> Vec<Arg> {
    let mut root = Arguments::command();
    root.build();
    let command = names.iter().try_fold(&root, |command, name| command.find_subcommand(name));
    let options = command.into_iter().flat_map(Command::get_arguments);
    options.filter(|option| option.get_env().is_some()).cloned().collect()
}

/// A setting: `merged` has what the file says, `given` has not.
fn setting(option: &Arg, merged: &ArgMatches, given: &ArgMatches, file: Option<&Path>) -> Setting {
    let id = option.get_id().as_str();
    let is_given = given.value_source(id) == Some(ValueSource::CommandLine);
    let origin = match (merged.value_source(id), file) {
        (Some(ValueSource::CommandLine), Some(path)) if !is_given => format!("file {}", path.display()),
        (Some(ValueSource::CommandLine), _) => "flag".to_owned(),
        (Some(ValueSource::EnvVariable), _) => format!("environment {}", env_of(option)),
        (Some(_) | None, _) => "default".to_owned(),
    };
    let raw: Vec<String> = match merged.try_get_raw(id) {
        Ok(Some(values)) => values.map(|value| value.to_string_lossy().into_owned()).collect(),
        Ok(None) | Err(_) => Vec::new(),
    };
    let shown = |value: String| match option.is_hide_env_values_set() {
        true => without_secrets(&name_of(option), &value),
        false => value,
    };
    let value = if raw.is_empty() { absent(option) } else { raw.into_iter().map(shown).collect::<Vec<_>>().join(", ") };
    Setting { name: name_of(option), value, origin }
}

/// The value of an option that may hold a secret. Values of properties may be secret, their names are not; what is no property may be only
/// that.
fn without_secrets(name: &str, value: &str) -> String {
    match value.split_once('=') {
        Some((property, _)) if name.ends_with("property") => format!("{property}=***"),
        None if name.ends_with("property") => "***".to_owned(),
        Some(_) | None => directory::without_credentials(value),
    }
}

/// The value of an option that has no fixed default.
fn absent(option: &Arg) -> String {
    match option.get_id().as_str() {
        "threads" => settings::machine_threads().to_string(),
        _ => written_default(option).unwrap_or_else(|| "none".to_owned()),
    }
}

/// `[default: ...]` in the help of an option whose default depends on something.
fn written_default(option: &Arg) -> Option<String> {
    let help = option.get_help()?.to_string();
    let (_, default) = help.split_once("[default: ")?;
    Some(default.trim_end_matches(']').to_owned())
}

fn name_of(option: &Arg) -> String {
    option.get_long().unwrap_or_default().to_owned()
}

fn env_of(option: &Arg) -> String {
    option.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// `docs/configuration.md`.
fn page() -> String {
    let mut page = String::from(
        "# Configuration\n\nMade from the options of the commands by `rater config page`; a test keeps this page equal. A flag beats its \
         environment variable, which beats the file of `--config` (`run`, `topics` and `directory`), which beats the default. `rater config show`, `rater config show run` \
         and so on show the values that hold, and where they come from. An option that may be repeated takes one value from its variable, \
         unless commas are allowed.\n",
    );
    let rate = options(&["config", "show"]);
    page.push_str("\n## rater rate\n");
    table_of(&rate, &mut page);
    let run = options(&["run"]);
    if !run.is_empty() {
        page.push_str(
            "\n## rater run\n\nAll of them may stand in the file of `--config`, as TOML: by their names, or as tables. Passwords are never options: they are read from files, \
             or from `RATER_KAFKA_PASSWORD` and `RATER_REGISTRY_PASSWORD`.\n\n```toml\nreference = [\"rating.yaml\"]\nworkers = 4\n\n[kafka]\nbrokers = [\"a:9092\", \"b:9092\"]\n\n\
             [kafka.property]\n\"linger.ms\" = 20\n```\n",
        );
        table_of(&run, &mut page);
        page.push_str(
            "\n## rater topics\n\nBeside those of `rater run` under Kafka and topics, in the same file if you like:\n",
        );
        let is_own = |option: &Arg| !run.iter().any(|known| known.get_id() == option.get_id());
        let own: Vec<Arg> = options(&["topics", "plan"]).into_iter().filter(is_own).collect();
        table_of(&own, &mut page);
    }
    let directory = options(&["directory", "migrate"]);
    if !directory.is_empty() {
        page.push_str(
            "\n## rater directory\n\nIn the same file if you like. The password is read from a file, or from `RATER_STORE_PASSWORD`.\n",
        );
        let is_own = |option: &Arg| !run.iter().any(|known| known.get_id() == option.get_id());
        let own: Vec<Arg> = directory.into_iter().filter(is_own).collect();
        table_of(&own, &mut page);
    }
    page.push_str("\n`NO_COLOR` (not empty) turns colours off where `--color` is `auto`. `RATER_` variables have no effect on reference data.\n");
    page
}

fn table_of(options: &[Arg], page: &mut String) {
    page.push_str("\n| setting | flag | environment | default | values |\n| --- | --- | --- | --- | --- |\n");
    for option in options {
        let help = option.get_help().map(ToString::to_string).unwrap_or_default();
        let meaning = help.split(" [default: ").next().unwrap_or_default().replace('|', "\\|");
        let fixed: Vec<String> =
            option.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
        let is_switch = !option.get_action().takes_values();
        let default = match fixed.first() {
            _ if is_switch => "off".to_owned(),
            Some(first) if first == "``" => "empty".to_owned(),
            Some(_) => fixed.join(", "),
            None => written_default(option).unwrap_or_else(|| "none".to_owned()),
        };
        let possible: Vec<String> =
            option.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
        let names = option.get_value_names().unwrap_or_default();
        let values = match (is_switch, possible.is_empty()) {
            (true, _) => "`true`, `false`".to_owned(),
            (false, false) => possible.join(", "),
            (false, true) => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" "),
        };
        page.push_str(&format!(
            "| {meaning} | `--{}` | `{}` | {default} | {values} |\n",
            name_of(option),
            env_of(option)
        ));
    }
}
