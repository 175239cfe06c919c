//! `rater run`: the pipeline on Kafka.

use crate::args::{
    Command, GrantsOption, KafkaOptions, KafkaSecurity, PropertyOption, RegistryOptions, ServiceArgs, ServiceOptions,
    StageOption, TopicOptions, given,
};
use crate::config_file;
use crate::console::Console;
use crate::exit::Failure;
use crate::source::{CacheSeen, Look, News, Plans, Seen, Source};
use crate::{log, settings, source};
use clap::ArgMatches;
use clap::parser::ValueSource;
use directory::Loaded;
use rating::{Currency, Timestamp};
use runtime::kafka::{KafkaSettings, Mechanism, Sasl, Secret, Security, Tls};
use runtime::registry::{Credentials, RegistryConfig, TlsFiles};
use runtime::service::{ServiceError, ServiceSettings, TopicNames, Workers, run as run_service};
use runtime::stages::ScratchSettings;
use runtime::telemetry::http::Server;
use runtime::telemetry::{CacheNumbers, ReferenceNumbers, Telemetry};
use runtime::wire::CloudEvents;
use runtime::worker::log::{GatherLimits, LogError};
use runtime::worker::{ForgottenPositions, GivenUp, NewOffsets, NewTopic, StageError, WorkerError};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Runs until a signal; a second one ends it at once.
///
/// # Errors
/// Settings, reference data, surroundings or control totals.
pub(crate) fn run(args: &ServiceArgs, matches: &ArgMatches, console: &mut Console) -> Result<(), Failure> {
    let merged;
    let args = match &args.config {
        Some(path) => {
            match config_file::merge(path, &["run"], matches)?.0.command {
                Command::Run(args) => merged = args,
                _ => return Err(Failure::Data(format!("{}: not for this command", path.display()))),
            }
            &*merged
        }
        None => args,
    };
    log::start(&args.telemetry, console);
    let settings = service_settings(args)?;
    let plans = match args.service.grants {
        GrantsOption::Buy => Plans::Unasked,
        GrantsOption::Ignore => Plans::Told,
    };
    let Source { loaded, look } = source::open(&args.directory, &args.reference, None, plans, |news| match news {
        News::Good(what) => tracing::info!("the directory's store: {what}"),
        News::Bad(what) => tracing::warn!("the directory's store: {what}"),
    })?;
    tell_grants(args.service.grants, loaded.grants().len());
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // The second signal finds the flag set.
        let second = signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone());
        let first = signal_hook::flag::register(signal, stop.clone());
        second.and(first).map_err(|error| Failure::Surroundings(format!("signals: {error}")))?;
    }
    let telemetry = Arc::new(telemetry(&settings, &loaded, look)?);
    end_in_time(stop.clone(), telemetry.clone())?;
    let _server = listen(&args.telemetry.listen, matches, &telemetry)?;
    tracing::info!(instance = settings.instance, reference = loaded.version(), "started");
    run_service::run(&settings, &loaded.directory(), &stop, &|told| telemetry.tell(&told)).map_err(failure)?;
    tracing::info!("stopped");
    Ok(())
}

/// How long the service may take to end once it was told to, or has to: less than what supervisors mostly grant (30 s).
const END_LIMIT: Duration = Duration::from_secs(25);

/// Ends the process with code 3 if it does not end by itself within [`END_LIMIT`] of when it should: a thread inside of a call that does not return
/// ends in no other way. What was not committed is read again by whoever comes next.
///
/// # Errors
/// No thread for it.
fn end_in_time(stop: Arc<AtomicBool>, telemetry: Arc<Telemetry>) -> Result<(), Failure> {
    let watch = move || {
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(END_LIMIT);
        let held = telemetry.readiness().reasons.join("; ");
        tracing::error!(reason = held, "did not end within {} s: ended at once", END_LIMIT.as_secs());
        eprintln!("error: did not end within {} s: {held}", END_LIMIT.as_secs());
        std::process::exit(3);
    };
    let thread = std::thread::Builder::new().name("end".to_owned()).spawn(watch);
    thread.map(drop).map_err(|error| Failure::Surroundings(format!("threads: {error}")))
}

/// Reads how often a store is gone through, in milliseconds.
///
/// # Errors
/// Less than a minute: every look would begin anew.
fn cycle_every_ms(text: &str) -> Result<i64, Failure> {
    let every_ms = settings::milliseconds("--cycle-every", text)?;
    match every_ms >= 60_000 {
        true => Ok(every_ms),
        false => Err(Failure::Data("--cycle-every: less than 1 min".to_owned())),
    }
}

/// Tells that bundles which reference data grant to accounts are not bought, where they are ignored.
fn tell_grants(option: GrantsOption, grants: usize) {
    if option == GrantsOption::Ignore && grants > 0 {
        tracing::warn!(grants, "bundles granted in reference data are not bought here: buy them by commands");
    }
}

/// Telemetry of a service. Reference data from files is as old as now, and good, or nothing would run.
fn telemetry(settings: &ServiceSettings, loaded: &Loaded, look: Option<Look>) -> Result<Telemetry, Failure> {
    let currencies: Vec<Currency> = loaded.snapshot.accounts().iter().map(|account| account.currency).collect();
    let confirmed = settings::machine_now();
    let numbers = move || match &look {
        None => ReferenceNumbers { confirmed, is_good: true, is_fresh: true, cache: None },
        Some(look) => {
            let Seen { age, is_good, is_fresh, cache } = look();
            let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            let confirmed = Timestamp::from_millis(settings::machine_now().millis().saturating_sub(age_ms));
            let CacheSeen { hits, absent, misses, failed, evictions, entries, bytes } = cache;
            let cache = Some(CacheNumbers { hits, absent, misses, failed, evictions, entries, bytes });
            ReferenceNumbers { confirmed, is_good, is_fresh, cache }
        }
    };
    let telemetry = Telemetry::new(settings, &currencies, Box::new(numbers));
    telemetry.map_err(|error| Failure::Data(error.to_string()))
}

/// Serves metrics and health, unless that is off. Where nobody said where, and another process is there already, it goes without: a second
/// `rater run` on a machine needs no option.
///
/// # Errors
/// The address that was asked for cannot be had.
fn listen(address: &str, matches: &ArgMatches, telemetry: &Arc<Telemetry>) -> Result<Option<Server>, Failure> {
    let Ok(address) = address.parse::<SocketAddr>() else { return Ok(None) };
    match Server::start(address, telemetry.clone()) {
        Ok(server) => {
            tracing::info!(address = %server.address(), "serves /metrics, /healthz, /readyz");
            Ok(Some(server))
        }
        Err(error) if given(&["run"], matches).value_source("listen") == Some(ValueSource::DefaultValue) => {
            tracing::warn!(%address, reason = %error, "no metrics: name another address with --listen");
            Ok(None)
        }
        Err(error) => Err(Failure::Data(format!("--listen {address}: {error}"))),
    }
}

fn failure(error: ServiceError) -> Failure {
    let text = error.to_string();
    match error {
        ServiceError::Configuration(_) => Failure::Data(text),
        ServiceError::Surroundings(error) => of_log(&error, text),
        ServiceError::Worker { error, .. } => match error {
            WorkerError::Stage(StageError::Control(_)) => Failure::Control(text),
            WorkerError::Stage(StageError::Surroundings(_)) => Failure::Surroundings(text),
            WorkerError::Stage(StageError::Corrupt(_) | StageError::TooLong(_))
            | WorkerError::MadeAnew { .. }
            | WorkerError::Gap(_)
            | WorkerError::Foreign { .. } => Failure::Data(text),
            WorkerError::Position { .. } => {
                Failure::Data(format!("{text}; docs/operating.md says what that means (--positions-from-state)"))
            }
            WorkerError::Surroundings(error) => of_log(&error, text),
        },
    }
}

pub(crate) fn of_log(error: &LogError, text: String) -> Failure {
    match error {
        LogError::Unavailable(_) => Failure::Surroundings(text),
        LogError::Missing(_) | LogError::Refused(_) => Failure::Data(text),
    }
}

/// # Errors
/// Options that make no sense.
pub(crate) fn service_settings(args: &ServiceArgs) -> Result<ServiceSettings, Failure> {
    let ServiceOptions { stage, workers, .. } = &args.service;
    let of = |wanted| if *stage == StageOption::All || *stage == wanted { *workers } else { 0 };
    let service = &args.service;
    let length = |option, text: &str| {
        let milliseconds = settings::milliseconds(option, text)?;
        u64::try_from(milliseconds)
            .map(Duration::from_millis)
            .map_err(|_| Failure::Data(format!("{option}: is negative")))
    };
    let tick_every = match service.tick_every.as_str() {
        "never" => None,
        text => Some(length("--tick-every", text)?),
    };
    Ok(ServiceSettings {
        kafka: kafka_settings(&args.kafka)?,
        registry: registry_config(&args.registry)?,
        topics: topic_names(&args.topics),
        workers: Workers {
            intake: of(StageOption::Intake),
            guide: of(StageOption::Guide),
            rate: of(StageOption::Rate),
            // What waits is little: one worker is enough, however many the others have.
            recycle: of(StageOption::Recycle).min(1),
            // One partition says how late it is.
            cycle: of(StageOption::Cycle).min(1),
        },
        skip_intake: args.topics.skip_intake,
        events: args.topics.cloudevents_source.as_deref().map(cloud_events).transpose()?,
        limits: GatherLimits {
            messages: service.batch_messages as usize,
            bytes: service.batch_bytes as usize,
            wait: length("--batch-wait", &service.batch_wait)?,
        },
        holds_instance: service.instance.is_some(),
        instance: service.instance.clone().unwrap_or_else(settings::instance),
        call_limit: length("--call-limit", &service.call_limit)?,
        default_source: service.source.clone(),
        future_ms: settings::milliseconds("--future-tolerance", &service.future_tolerance)?,
        past_ms: settings::past_tolerance_ms(&service.doubts)?,
        doubts: settings::doubts(&service.doubts, &[]),
        duplicate_window_h: settings::window_h("--duplicate-window", &service.duplicate_window)?,
        command_memory_h: settings::command_memory_h(&service.command_memory)?,
        state_horizon_h: settings::state_horizon_h(&service.state_horizon)?,
        buys_grants: service.grants == GrantsOption::Buy,
        walk_every_ms: cycle_every_ms(&service.cycle_every)?,
        tick_every: tick_every.filter(|_| matches!(stage, StageOption::All | StageOption::Intake)),
        forgotten_positions: match service.positions_from_state {
            true => ForgottenPositions::FromState,
            false => ForgottenPositions::Stop,
        },
        topics_made_anew: service.topics_made_anew.iter().map(|topic| new_topic(topic)).collect(),
        given_up: GivenUp {
            gaps: service.skip_gaps.clone(),
            messages: service.skip_messages.iter().map(|text| place_of(text)).collect::<Result<_, _>>()?,
        },
        attempts: service.attempts,
        scratch: ScratchSettings {
            memory_bytes: service.suspense_memory,
            folder: service.scratch_folder.clone().unwrap_or_else(std::env::temp_dir),
        },
        now: settings::machine_now,
    })
}

/// # Errors
/// A source with a user: every message would carry it.
fn cloud_events(source: &str) -> Result<CloudEvents, Failure> {
    if source.split_once("://").is_some_and(|(_, rest)| rest.contains('@')) {
        return Err(Failure::Data("--cloudevents-source holds a user, and every message would carry it".to_owned()));
    }
    Ok(CloudEvents::new(source))
}

/// `TOPIC` or `TOPIC=mirrored`; no name of a topic has an equals sign.
fn new_topic(text: &str) -> NewTopic {
    match text.strip_suffix("=mirrored") {
        Some(name) => NewTopic { name: name.to_owned(), offsets: NewOffsets::Mirrored },
        None => NewTopic { name: text.to_owned(), offsets: NewOffsets::Anew },
    }
}

/// `TOPIC:PARTITION:OFFSET`; no name of a topic has a colon.
///
/// # Errors
/// It is not of this form.
fn place_of(text: &str) -> Result<(String, u32, i64), Failure> {
    let parts: Vec<&str> = text.split(':').collect();
    let place = match parts[..] {
        [topic, partition, offset] if !topic.is_empty() => {
            partition.parse().ok().zip(offset.parse().ok()).map(|at| (topic, at))
        }
        _ => None,
    };
    let (topic, (partition, offset)) = place
        .ok_or_else(|| Failure::Data(format!("--skip-message: {text:?} is not of the form TOPIC:PARTITION:OFFSET")))?;
    Ok((topic.to_owned(), partition, offset))
}

/// The topics that options name.
pub(crate) fn topic_names(options: &TopicOptions) -> TopicNames {
    let mut names = TopicNames::new(&options.topic_prefix);
    if !options.usage_topics.is_empty() {
        names.usage.clone_from(&options.usage_topics);
    }
    if !options.command_topics.is_empty() {
        names.commands.clone_from(&options.command_topics);
    }
    names
}

/// The cluster that options name.
///
/// # Errors
/// A password file that cannot be read, or a mechanism that is not known.
pub(crate) fn kafka_settings(options: &KafkaOptions) -> Result<KafkaSettings, Failure> {
    let mut kafka = KafkaSettings::new(options.kafka_brokers.iter().cloned());
    let tls = || Tls { ca_file: options.kafka_ca_file.clone() };
    let sasl = || -> Result<Sasl, Failure> {
        let mechanism = Mechanism::from_name(&options.kafka_mechanism)
            .ok_or_else(|| Failure::Data(format!("--kafka-mechanism: \"{}\" is not known", options.kafka_mechanism)))?;
        let user = options.kafka_user.clone().unwrap_or_default();
        let password =
            settings::password(options.kafka_password_file.as_deref(), "RATER_KAFKA_PASSWORD")?.unwrap_or_default();
        let password_file = options.kafka_password_file.clone();
        Ok(Sasl { mechanism, user, password: Secret::new(password), password_file })
    };
    kafka.security = match options.kafka_security {
        KafkaSecurity::Plaintext => Security::Plaintext,
        KafkaSecurity::Tls => Security::Tls(tls()),
        KafkaSecurity::Sasl => Security::Sasl(sasl()?),
        KafkaSecurity::SaslTls => Security::SaslTls(sasl()?, tls()),
    };
    for property in &options.kafka_property {
        match property {
            PropertyOption::Named(name, value) => drop(kafka.properties.insert(name.clone(), value.clone())),
            PropertyOption::Malformed => {
                return Err(Failure::Data("--kafka-property: write NAME=VALUE, such as linger.ms=20".to_owned()));
            }
        }
    }
    Ok(kafka)
}

/// The registry that options name.
///
/// # Errors
/// A password file that cannot be read.
pub(crate) fn registry_config(options: &RegistryOptions) -> Result<Option<RegistryConfig>, Failure> {
    let Some(url) = &options.registry_url else { return Ok(None) };
    let mut config = RegistryConfig::new(url.clone());
    let password = settings::password(options.registry_password_file.as_deref(), "RATER_REGISTRY_PASSWORD")?;
    config.credentials = options
        .registry_user
        .clone()
        .map(|user| Credentials { user, password: Secret::new(password.unwrap_or_default()) });
    config.tls = TlsFiles { authorities: options.registry_ca_file.clone(), identity: None };
    Ok(Some(config))
}
