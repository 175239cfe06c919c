//! `rater config`: every setting of `rate`, and where its value comes from. The page docs/configuration.md is made of the same table.

use crate::args::{Arguments, ConfigCommand};
use crate::console::Console;
use crate::exit::Failure;
use crate::present::{Align, Table};
use crate::settings;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory};
use serde_json::json;

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
        ConfigCommand::Page => console.print(&page()),
        ConfigCommand::Show(_) => show(matches, console),
    }
}

fn show(matches: &ArgMatches, console: &mut Console) -> Result<(), Failure> {
    let shown = matches.subcommand_matches("config").and_then(|config| config.subcommand_matches("show"));
    let Some(matches) = shown else { return Ok(()) };
    let settings: Vec<Setting> = options().iter().map(|option| setting(option, matches)).collect();
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

/// The settings of `rate`: all options of `config show` that an environment variable can set.
fn options() -> Vec<Arg> {
    let mut root = Arguments::command();
    root.build();
    let show =
        root.find_subcommand("config").and_then(|config| config.find_subcommand("show")).map(Command::get_arguments);
    show.into_iter().flatten().filter(|option| option.get_env().is_some()).cloned().collect()
}

fn setting(option: &Arg, matches: &ArgMatches) -> Setting {
    let id = option.get_id().as_str();
    let given: Vec<String> = match matches.try_get_raw(id) {
        Ok(Some(values)) => values.map(|value| value.to_string_lossy().into_owned()).collect(),
        Ok(None) | Err(_) => Vec::new(),
    };
    let origin = match matches.value_source(id) {
        Some(ValueSource::CommandLine) => "flag".to_owned(),
        Some(ValueSource::EnvVariable) => format!("environment {}", env_of(option)),
        Some(_) | None => "default".to_owned(),
    };
    let value = if given.is_empty() { absent(option) } else { given.join(", ") };
    Setting { name: name_of(option), value, origin }
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
        "# Configuration\n\nThe settings of `rater rate`, made from its options by `rater config page`; a test keeps this page equal. A flag beats its \
         environment variable, which beats the default. `rater config show` shows the value that holds, and where it comes from. An option that may be \
         repeated takes one value from its variable.\n\n| setting | flag | environment | default | values |\n| --- | --- | --- | --- | --- |\n",
    );
    for option in options() {
        let help = option.get_help().map(ToString::to_string).unwrap_or_default();
        let meaning = help.split(" [default: ").next().unwrap_or_default().replace('|', "\\|");
        let fixed: Vec<String> =
            option.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
        let is_switch = !option.get_action().takes_values();
        let default = match fixed.first() {
            _ if is_switch => "off".to_owned(),
            Some(_) => fixed.join(", "),
            None => written_default(&option).unwrap_or_else(|| "none".to_owned()),
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
            name_of(&option),
            env_of(&option)
        ));
    }
    page.push_str("\n`NO_COLOR` (not empty) turns colours off where `--color` is `auto`. `RATER_` variables have no effect on reference data.\n");
    page
}
