//! `rater top`: flow, lag, suspense and money of running services, from their pages of metrics.

mod page;
mod view;

use crate::args::TopArgs;
use crate::console::Console;
use crate::exit::Failure;
use crate::settings;
use directory::without_credentials;
use page::Page;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use view::View;

/// How long one page may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of a page that are read.
const MAX_PAGE_BYTES: u64 = 16 << 20;

/// Shows until a signal; with `--once`, or where nobody watches, once.
///
/// # Errors
/// A page that cannot be had at the start.
pub(crate) fn run(args: &TopArgs, console: &mut Console) -> Result<(), Failure> {
    let every_ms = settings::milliseconds("--every", &args.every)?;
    let every = Duration::from_millis(every_ms.unsigned_abs().max(100));
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, stop.clone())
            .map_err(|error| Failure::Surroundings(format!("signals: {error}")))?;
    }
    let is_live = !args.once && !console.json && std::io::stdout().is_terminal();
    let mut before = read(&args.addresses).map_err(Failure::Surroundings)?;
    let mut looked = Instant::now();
    loop {
        while looked.elapsed() < every && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let now = match read(&args.addresses) {
            Ok(now) => now,
            // It may be started again: who watches wants to see that, too.
            Err(why) if is_live => {
                console.print_anew(&format!("{why}\n"))?;
                looked = Instant::now();
                continue;
            }
            Err(why) => return Err(Failure::Surroundings(why)),
        };
        let clock_s = settings::machine_now().millis() as f64 / 1000.0;
        let view = View { before: &before, now: &now, between: looked.elapsed(), clock_s };
        looked = Instant::now();
        if console.json {
            return console.print_json(&view.json());
        }
        let text = view.text(console.paint());
        if !is_live {
            return console.print(&text);
        }
        console.print_anew(&format!("{text}\n{}\n", args.addresses.join(", ")))?;
        before = now;
    }
}

/// The pages of all addresses, added up.
fn read(addresses: &[String]) -> Result<Page, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build().into();
    let mut page = Page::default();
    for address in addresses {
        if address.contains('@') {
            return Err(format!("{}: write HOST:PORT, without a user", without_credentials(address)));
        }
        let in_words = |error: ureq::Error| format!("no metrics from http://{address}/metrics: {error}");
        let mut answer = agent.get(format!("http://{address}/metrics")).call().map_err(in_words)?;
        let text = answer.body_mut().with_config().limit(MAX_PAGE_BYTES).read_to_string().map_err(in_words)?;
        let added = Page::read(&text);
        if !added.is_of_rater() {
            return Err(format!("http://{address}/metrics is no page of `rater run`: is another service there?"));
        }
        page.add(added);
    }
    Ok(page)
}
