use super::*;
use crate::eval::labels::tests::labelled;

fn data(classes: [&[&str]; 2], labels: [&[i64]; 2]) -> KnnData {
    KnnData::new(
        ("train", labelled(classes[0], labels[0])),
        Some(("test", labelled(classes[1], labels[1]))),
    )
}

fn refusal(data: &KnnData) -> String {
    let error = data.check().unwrap_err();
    assert!(error.is_usage(), "{error}");
    error.to_string()
}

#[test]
fn samples_without_a_label_are_refused_on_either_side_before_an_image_is_read() {
    let classes: [&[&str]; 2] = [&["cat", "dog"]; 2];
    data(classes, [&[0, 1, 0, 1], &[1, 0]]).check().unwrap();
    let text = refusal(&data(classes, [&[0, 1, 0, 1], &[-1, -1]]));
    assert!(text.contains("2 of the 2 samples") && text.contains("--test-split"), "{text}");
    let text = refusal(&data(classes, [&[0, 1, -1, 1], &[1, 0]]));
    assert!(text.contains("split `train`") && text.contains("--train-split"), "{text}");
    let text = refusal(&data([&["cat"], &[]], [&[0], &[-1]]));
    assert!(text.contains("1 of the 1 samples") && text.contains("split `test`"), "{text}");
    let text = refusal(&KnnData::new(("train", labelled(&["cat"], &[0, -1])), None));
    assert!(text.contains("1 of the 2 samples"), "{text}");
    assert!(refusal(&KnnData::new(("train", labelled(&[], &[-1])), None)).contains("no classes"));
}

#[test]
fn classes_by_number_may_lack_the_last_on_either_side() {
    for classes in [[&["0", "1", "2"][..], &["0", "1"]], [&["0", "1"], &["0", "1", "2"]]] {
        assert_eq!(data(classes, [&[0, 1], &[1, 0]]).num_classes().unwrap(), 3);
    }
    let text = refusal(&data([&["cat", "dog"], &["cat"]], [&[0, 1], &[0]]));
    assert!(text.contains("different classes (2 and 1)"), "{text}");
}

#[test]
fn splits_that_were_passed_over_are_named_with_the_one_that_is_taken() {
    let mut data = data([&["a"]; 2], [&[0], &[0]]);
    assert_eq!(data.remark(), None);
    data.passed_over = vec!["x".to_owned()];
    let text = data.remark().unwrap();
    assert_eq!(text, "split `x` has no labels to test with; `test` is taken instead");
    data.queries = None;
    data.passed_over.push("y".to_owned());
    let text = data.remark().unwrap();
    assert!(
        text.contains("splits `x`, `y` have") && text.contains("`train` is held out"),
        "{text}"
    );
}

#[test]
fn a_figure_is_called_by_the_protocol_that_it_follows() {
    for k in [10, 20, 100, 200] {
        assert_eq!(protocol(Metric::Cosine, k, 0.07), "dino");
    }
    assert_eq!(protocol(Metric::Cosine, 200, 0.1), "lightly");
    for (metric, k, temperature) in
        [(Metric::Cosine, 5, 0.07), (Metric::Cosine, 20, 0.1), (Metric::CentredCosine, 20, 0.07)]
    {
        assert_eq!(protocol(metric, k, temperature), "ours", "{metric} {k} {temperature}");
    }
}
