//! A page of metrics, read.

use runtime::telemetry::catalog::BUILD_INFO;
use std::collections::BTreeMap;

/// Series of one or more processes, added up.
#[derive(Clone, Debug, Default)]
pub(super) struct Page(BTreeMap<String, Vec<Series>>);

#[derive(Clone, Debug)]
struct Series {
    labels: Vec<(String, String)>,
    value: f64,
}

impl Page {
    /// Reads a page in the text form of Prometheus. Lines that are none are passed over.
    pub(super) fn read(text: &str) -> Page {
        let mut page = Page::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = read_labels(labels.strip_suffix('}').unwrap_or(labels));
            page.0.entry(name.to_owned()).or_default().push(Series { labels, value });
        }
        page
    }

    /// Returns true if a service of ours wrote it: each says which program it is.
    pub(super) fn is_of_rater(&self) -> bool {
        self.0.contains_key(BUILD_INFO.name)
    }

    /// Adds the series of another page.
    pub(super) fn add(&mut self, other: Page) {
        for (name, series) in other.0 {
            self.0.entry(name).or_default().extend(series);
        }
    }

    /// The sum of the series of a name that have these labels; 0 where there is none, and not -0 as of an empty sum.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).fold(0.0, |sum, series| sum + series.value)
    }

    /// The least of them that is not 0.
    pub(super) fn least(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.matching(name, labels).map(|series| series.value).filter(|value| *value > 0.0).reduce(f64::min)
    }

    /// Values of a label among them, in order, with their sums.
    pub(super) fn by(&self, name: &str, label: &str, labels: &[(&str, &str)]) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for series in self.matching(name, labels) {
            if let Some((_, value)) = series.labels.iter().find(|(known, _)| known == label) {
                *sums.entry(value.clone()).or_default() += series.value;
            }
        }
        sums
    }

    fn matching<'p>(&'p self, name: &str, labels: &'p [(&str, &str)]) -> impl Iterator<Item = &'p Series> {
        let has = |series: &Series, (name, value): &(&str, &str)| {
            series.labels.iter().any(|(known, found)| known == name && found == value)
        };
        let series = self.0.get(name).map(Vec::as_slice).unwrap_or_default();
        series.iter().filter(move |series| labels.iter().all(|label| has(series, label)))
    }
}

fn read_labels(mut text: &str) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    while let Some((name, rest)) = text.split_once("=\"") {
        let mut value = String::new();
        let mut characters = rest.char_indices();
        let mut end = rest.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => value.extend(characters.next().map(|(_, escaped)| if escaped == 'n' { '\n' } else { escaped })),
                character => value.push(character),
            }
        }
        labels.push((name.trim_start_matches([',', ' ']).to_owned(), value));
        text = rest.get(end..).unwrap_or_default();
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_added_up_by_their_labels() {
        let mut page = Page::read(
            "# HELP a b\n# TYPE a counter\na{x=\"1\",y=\"p\"} 2\na{x=\"1\",y=\"q\"} 3.5\na{x=\"2\",y=\"p\"} 4\nb 7\n",
        );
        page.add(Page::read("b 1\nrubbish\na{x=\"odd\\\"} \\n\",y=\"p\"} 1\nc{ 1\nd nonsense\n"));
        assert!(!page.is_of_rater());
        assert_eq!(page.sum("a", &[("x", "1")]).to_string(), "5.5");
        assert_eq!(page.sum("b", &[]).to_string(), "8");
        assert_eq!(page.sum("nothing", &[]).to_string(), "0");
        assert_eq!(
            page.by("a", "y", &[]).into_iter().map(|(y, sum)| format!("{y} {sum}")).collect::<Vec<_>>(),
            ["p 7", "q 3.5"]
        );
        assert_eq!(page.by("a", "x", &[]).keys().last().map(String::as_str), Some("odd\"} \n"));
    }

    #[test]
    fn the_least_is_of_those_that_are_known() {
        let page = Page::read("t{s=\"a\"} 0\nt{s=\"b\"} 30\nt{s=\"c\"} 20\n");
        assert_eq!(page.least("t", &[]).map(|value| value.to_string()).as_deref(), Some("20"));
        assert!(page.least("t", &[("s", "a")]).is_none());
    }
}
