//! The histogram of ages: taken over as buckets, once per batch, where the library's own wants every single value.

use super::catalog;
use crate::service::StageName;
use crate::worker::counts::{AGE_BOUNDS_MS, Ages};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Opts, Registry};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Ages of all batches of one stage.
#[derive(Clone, Default)]
pub(super) struct AgeHistogram(Arc<Mutex<Ages>>);

impl AgeHistogram {
    /// One for each stage that sees records.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<BTreeMap<StageName, AgeHistogram>> {
        let family = &catalog::RECORD_AGE;
        let labels = family.labels.iter().map(|label| label.name.to_owned()).collect();
        let options = Opts::new(family.name, family.help);
        let description = Desc::new(options.name, options.help, labels, options.const_labels)?;
        let stages: BTreeMap<StageName, AgeHistogram> =
            catalog::RECORD_STAGES.into_iter().map(|stage| (stage, AgeHistogram::default())).collect();
        registry.register(Box::new(Collected { description, stages: stages.clone() }))?;
        Ok(stages)
    }

    /// Adds the ages of a batch.
    pub(super) fn add(&self, ages: &Ages) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).merge(ages);
    }

    fn metric(&self, stage: StageName) -> Metric {
        let ages = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut cumulative = 0;
        let mut buckets = Vec::with_capacity(AGE_BOUNDS_MS.len());
        for (bound, count) in AGE_BOUNDS_MS.iter().zip(ages.counts) {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_cumulative_count(cumulative);
            bucket.set_upper_bound(*bound as f64 / 1000.0);
            buckets.push(bucket);
        }
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(ages.counts.iter().sum());
        histogram.set_sample_sum(ages.sum_ms as f64 / 1000.0);
        let mut label = LabelPair::default();
        label.set_name("stage".to_owned());
        label.set_value(stage.name().to_owned());
        let mut metric = Metric::from_label(vec![label]);
        metric.set_histogram(histogram);
        metric
    }
}

/// The histograms of these stages.
struct Collected {
    description: Desc,
    stages: BTreeMap<StageName, AgeHistogram>,
}

impl Collector for Collected {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.description.fq_name.clone());
        family.set_help(self.description.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(self.stages.iter().map(|(stage, ages)| ages.metric(*stage)).collect());
        vec![family]
    }
}
