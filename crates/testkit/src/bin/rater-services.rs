//! Runs services for trying things out by hand, without containers: `rater-services kafka --brokers 3`. They end with this program,
//! at the end of its input or however it is ended.

use clap::{Parser, Subcommand};
use std::io::{Read, Write};
use std::process::ExitCode;
use testkit::services::{Cassandra, Kafka, Postgres, ServiceError};

/// Start a service, print where it answers, and keep it until the end of the input.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    service: Service,
}

#[derive(Subcommand)]
enum Service {
    /// Apache Kafka; prints its bootstrap servers
    Kafka {
        /// Number of brokers; with three, topics are replicated
        #[arg(long, default_value_t = 1)]
        brokers: u16,
    },
    /// Apache Cassandra; prints the address of its CQL port
    Cassandra,
    /// PostgreSQL; prints the URL of its database
    Postgres,
}

fn main() -> ExitCode {
    let kept = match Arguments::parse().service {
        Service::Kafka { brokers } => Kafka::cluster(brokers).and_then(|kafka| keep(kafka.bootstrap(), kafka.log()?)),
        Service::Cassandra => Cassandra::start().and_then(|cassandra| keep(cassandra.address(), cassandra.log()?)),
        Service::Postgres => Postgres::start().and_then(|postgres| keep(postgres.url(), postgres.log()?)),
    };
    match kept {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn keep(address: &str, log: &std::path::Path) -> Result<(), ServiceError> {
    println!("{address}");
    eprintln!("log {}; ends with ctrl-C or the end of the input", log.display());
    // Who reads the address through a pipe wants it now; who does not read on is no reason to end.
    let _ = std::io::stdout().flush();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}
