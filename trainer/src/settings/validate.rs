//! Checks that need no data: every value that has the right type but makes no sense.

use smog_pipeline::augment::Recipe;

use super::error::SettingsError;
use super::sections::RunConfig;
use super::span::Span;

impl RunConfig {
    /// Checks every section.
    ///
    /// # Errors
    /// Names the first key that is out of range, its value, and what is allowed.
    pub fn validate(&self) -> Result<(), SettingsError> {
        self.check_run()?;
        self.check_schedule()?;
        self.check_reset_and_eval()?;
        let value = |section: &str, problem: String| SettingsError::Value {
            section: section.to_owned(),
            problem,
        };
        if self.augment.views.is_empty() {
            return Err(value(
                "augment",
                "there are no views; give at least [[augment.views]]".to_owned(),
            ));
        }
        self.augment.validate().map_err(|error| value("augment", error.to_string()))?;
        self.model.validate().map_err(|error| value("model", error.to_string()))?;
        self.model
            .check_views(self.augment.num_views(), self.augment.num_large())
            .map_err(|error| value("model", error.to_string()))?;
        self.check_sides()?;
        // As the stream of an evaluation would, after the run.
        Recipe::center(self.eval_resize(), self.eval_size()).validate().map_err(|error| {
            let name = if error.key == "size" { "size" } else { "resize" };
            let (key, expected) = (format!("eval.{name}"), format!("expected {}", error.expected));
            SettingsError::Range { key, value: error.value, expected }
        })
    }

    /// That the encoder can take pictures of every size that it will be shown.
    fn check_sides(&self) -> Result<(), SettingsError> {
        let views = (0..).zip(&self.augment.views);
        let views = views.map(|(i, view): (u32, _)| (format!("augment.views.{i}.size"), view.size));
        for (key, side) in views.chain([("eval.size".to_owned(), self.eval_size())]) {
            if let Err(expected) = self.model.encoder.check_side(side.into()) {
                return Err(SettingsError::Range { key, value: side.to_string(), expected });
            }
        }
        Ok(())
    }

    fn check_run(&self) -> Result<(), SettingsError> {
        let run = &self.run;
        // TOML integers are signed, and the stored settings must be able to hold the seed.
        check("run.seed", run.seed, i64::try_from(run.seed).is_ok(), "expected at most 2^63 - 1")?;
        check(
            "run.batch_size",
            run.batch_size,
            run.batch_size >= 2,
            "batch statistics need at least 2",
        )?;
        check(
            "run.name",
            &run.name,
            plain_name(&run.name),
            "expected letters, digits, `-`, `_` or `.`",
        )?;
        span(
            "run.length",
            run.length,
            |s| !matches!(s, Span::Never | Span::Percent(_)),
            "steps, samples or epochs",
        )?;
        span("run.log_every", run.log_every, |s| matches!(s, Span::Steps(1..)), "at least 1 step")?;
        span("run.checkpoint_every", run.checkpoint_every, no_percent, NO_PERCENT)?;
        check(
            "run.keep_checkpoints",
            run.keep_checkpoints,
            run.keep_checkpoints >= 1,
            "expected at least 1",
        )?;
        let device = run.device.as_str();
        let known = matches!(device, "auto" | "cpu" | "cuda")
            || device.strip_prefix("cuda:").is_some_and(|number| number.parse::<u8>().is_ok());
        check("run.device", device, known, "expected auto, cpu, cuda or cuda:N")?;
        span(
            "stream.max_bad",
            self.stream.max_bad,
            |s| {
                matches!(s, Span::Never | Span::Samples(_))
                    || matches!(s, Span::Percent(p) if p <= 100.0)
            },
            "a share such as \"1 %\", a number such as \"10 samples\", or \"never\"",
        )
    }

    fn check_schedule(&self) -> Result<(), SettingsError> {
        let schedule = &self.schedule;
        let lr = schedule.lr_per_256;
        check("schedule.lr_per_256", lr, lr > 0.0 && lr.is_finite(), "expected above 0")?;
        let ratio = schedule.final_lr_ratio;
        check("schedule.final_lr_ratio", ratio, (0.0..=1.0).contains(&ratio), "expected 0 to 1")?;
        let start = schedule.warmup_start;
        check("schedule.warmup_start", start, (0.0..=1.0).contains(&start), "expected 0 to 1")?;
        let momentum = schedule.momentum_start;
        check(
            "schedule.momentum_start",
            momentum,
            (0.0..=1.0).contains(&momentum),
            "expected 0 to 1",
        )?;
        span(
            "schedule.warmup",
            schedule.warmup,
            |s| !matches!(s, Span::Percent(p) if p >= 100.0),
            "less than 100 %",
        )
    }

    fn check_reset_and_eval(&self) -> Result<(), SettingsError> {
        let kmeans = &self.reset.kmeans;
        span("reset.every", self.reset.every, no_percent, NO_PERCENT)?;
        check("reset.kmeans.passes", kmeans.passes, kmeans.passes >= 1, "expected at least 1")?;
        let points = kmeans.max_points_per_group;
        check("reset.kmeans.max_points_per_group", points, points >= 1, "expected at least 1")?;
        let tolerance = kmeans.tolerance;
        check(
            "reset.kmeans.tolerance",
            tolerance,
            tolerance >= 0.0 && tolerance.is_finite(),
            "expected 0 or more",
        )?;
        let eval = &self.eval;
        span("eval.knn_every", eval.knn_every, no_percent, NO_PERCENT)?;
        check("eval.k", eval.k, eval.k >= 1, "expected at least 1")?;
        check("eval.batch_size", eval.batch_size, eval.batch_size >= 1, "expected at least 1")?;
        let temperature = eval.temperature;
        check(
            "eval.temperature",
            temperature,
            temperature > 0.0 && temperature.is_finite(),
            "expected above 0",
        )?;
        let fits = eval.resize == 0 || eval.resize >= self.eval_size();
        check("eval.resize", eval.resize, fits, "expected 0 or at least eval.size")
    }

    /// Side of the pictures that evaluation looks at.
    pub fn eval_size(&self) -> u32 {
        match self.eval.size {
            0 => self.augment.views.first().map_or(0, |view| view.size),
            size => size,
        }
    }

    /// Short side to which evaluation resizes before the centre crop.
    pub fn eval_resize(&self) -> u32 {
        match (self.eval.resize, self.eval_size()) {
            (0, size) if size >= 64 => (size * 8).div_ceil(7),
            (0, size) => size,
            (resize, _) => resize,
        }
    }
}

const NO_PERCENT: &str = "steps, samples, epochs or \"never\"";

fn no_percent(span: Span) -> bool {
    !matches!(span, Span::Percent(_))
}

fn plain_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn span(
    key: &str,
    value: Span,
    is_right: fn(Span) -> bool,
    expected: &str,
) -> Result<(), SettingsError> {
    check(key, value, is_right(value), &format!("expected {expected}"))
}

fn check(
    key: &str,
    value: impl ToString,
    is_right: bool,
    expected: &str,
) -> Result<(), SettingsError> {
    if is_right {
        return Ok(());
    }
    Err(SettingsError::Range {
        key: key.to_owned(),
        value: value.to_string(),
        expected: expected.to_owned(),
    })
}
