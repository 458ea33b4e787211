//! Names of functions, and arguments in WAVE.

use super::*;

fn name(text: &str) -> FunctionName {
    text.parse().unwrap()
}

fn function(text: &str, params: &[(&str, ValueType)]) -> Function {
    let params = params.iter();
    Function {
        name: name(text),
        params: params
            .map(|(name, ty)| ((*name).to_owned(), ty.clone()))
            .collect(),
        result: None,
        is_async: false,
    }
}

#[test]
fn a_name_reads_back_as_printed() {
    for text in [
        "run",
        "demo:a/b#run",
        "demo:a/b@0.1.0-rc.1#do-it",
        "demo:a/b#[method]file.close",
    ] {
        assert_eq!(name(text).to_string(), text);
    }
}

#[test]
fn text_that_is_no_name_is_told_why() {
    let error = |text: &str| text.parse::<FunctionName>().unwrap_err().to_string();
    insta::assert_snapshot!(error("demo:a/b"), @"`demo:a/b` is no name of a function: it names an interface but no function; wanted `function`, or `namespace:package/interface#function`");
    insta::assert_snapshot!(error("demo:a#x"), @"`demo:a#x` is no name of a function: what stands before `#` is no interface; wanted `function`, or `namespace:package/interface#function`");
    insta::assert_snapshot!(error("demo:a/b#"), @"`demo:a/b#` is no name of a function: the function is empty; wanted `function`, or `namespace:package/interface#function`");
    insta::assert_snapshot!(error("add(1, 2)"), @"`add(1, 2)` is no name of a function: a function is written in letters, digits and `-`; arguments stand apart; wanted `function`, or `namespace:package/interface#function`");
}

fn chosen(wanted: &str, functions: &[&str]) -> Result<String, NotChosen<usize>> {
    let functions: Vec<Function> = functions.iter().map(|text| function(text, &[])).collect();
    let functions: Vec<(usize, &Function)> = functions.iter().enumerate().collect();
    let chosen = name(wanted).choose(&functions);
    chosen.map(|(_, function)| function.name.to_string())
}

#[test]
fn a_function_goes_by_as_much_of_its_name_as_is_clear() {
    let functions = [
        "demo:a/b@0.1.0#run",
        "demo:a/c@0.2.3#stop",
        "demo:a/c@0.3.0#stop",
    ];
    assert_eq!(chosen("run", &functions).unwrap(), functions[0]);
    assert_eq!(chosen("demo:a/b#run", &functions).unwrap(), functions[0]);
    assert_eq!(
        chosen("demo:a/c@0.2.0#stop", &functions).unwrap(),
        functions[1]
    );
    let Err(NotChosen::Several(several)) = chosen("demo:a/c#stop", &functions) else {
        panic!("it is not clear");
    };
    assert_eq!(several.len(), 2);
    assert!(chosen("demo:a/b@1.0.0#run", &functions).is_err());
}

#[test]
fn a_function_of_the_world_goes_before_those_of_interfaces() {
    let functions = ["demo:a/b#run", "run", "demo:a/c#run"];
    assert_eq!(chosen("run", &functions).unwrap(), "run");
    assert_eq!(chosen("demo:a/c#run", &functions).unwrap(), "demo:a/c#run");
}

#[test]
fn what_is_not_there_gets_the_nearest_and_a_list() {
    let Err(NotChosen::None(not_there)) = chosen("rum", &["demo:a/b#run", "demo:a/b#go"]) else {
        panic!("it is not there");
    };
    insta::assert_snapshot!(not_there.hint(), @r"
    did you mean `run`? exported here:
      demo:a/b#run: func()
      demo:a/b#go: func()
    ");
    let many: Vec<String> = (0..30).map(|number| format!("f{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let Err(NotChosen::None(not_there)) = chosen("something", &many) else {
        panic!("it is not there");
    };
    assert!(
        not_there.hint().ends_with("\n  and 10 more"),
        "{}",
        not_there.hint()
    );
    let Err(NotChosen::None(not_there)) = chosen("something", &[]) else {
        panic!("it is not there");
    };
    assert_eq!(not_there.hint(), "no function is exported here");
}

/// Every type, with text that is a value of it and text that is none.
#[test]
fn arguments_are_checked_against_their_types() {
    let text = || Box::new(ValueType::String);
    let types = [
        (ValueType::Bool, "true", "yes"),
        (ValueType::S8, "-128", "200"),
        (ValueType::U8, "255", "-1"),
        (ValueType::U64, "18446744073709551615", "1.5"),
        (ValueType::F64, "-1.5e3", "\"1\""),
        (ValueType::F32, "nan", "none"),
        (ValueType::Char, "'ü'", "\"ü\""),
        (ValueType::String, "\"a \\\"b\\\" \\u{1F600}\"", "a"),
        (ValueType::List(text()), "[\"a\", \"b\"]", "[1]"),
        (ValueType::Option(text()), "some(\"a\")", "some(1)"),
        (ValueType::Result(None, Some(text())), "err(\"a\")", "err"),
        (
            ValueType::Tuple(vec![ValueType::U8, ValueType::Char]),
            "(1, 'x')",
            "(1)",
        ),
        (
            ValueType::Record(vec![("a".to_owned(), ValueType::U8)]),
            "{a: 1}",
            "{b: 1}",
        ),
        (
            ValueType::Variant(vec![
                ("a".to_owned(), None),
                ("b".to_owned(), Some(ValueType::U8)),
            ]),
            "b(1)",
            "a(1)",
        ),
        (ValueType::Enum(vec!["a".to_owned()]), "a", "b"),
        (
            ValueType::Flags(vec!["a".to_owned(), "b".to_owned()]),
            "{a, b}",
            "{c}",
        ),
    ];
    for (ty, good, bad) in types {
        let function = function("f", &[("it", ty.clone())]);
        assert_eq!(function.check(&[good.to_owned()]), Ok(()), "{ty}");
        assert_eq!(
            function.check(&[ty.example()]),
            Ok(()),
            "the example of {ty}"
        );
        let errors = function.check(&[bad.to_owned()]).unwrap_err();
        assert_eq!((errors.len(), errors[0].index), (1, Some(0)), "{ty}");
    }
}

#[test]
fn all_wrong_arguments_are_told() {
    let function = function(
        "demo:a/b#f",
        &[("x", ValueType::U8), ("y", ValueType::String)],
    );
    let args = ["-1", "a"].map(str::to_owned);
    let told: Vec<String> = function
        .check(&args)
        .unwrap_err()
        .iter()
        .map(|error| format!("{error} ({})", error.hint.clone().unwrap()))
        .collect();
    assert_eq!(told.len(), 2);
    assert!(
        told[0].starts_with("argument 1 of `demo:a/b#f`, `x`, is no u8: found `-1`: "),
        "{told:?}"
    );
    assert!(told[1].ends_with("(write it like \"text\")"), "{told:?}");
    let count = function.check(&[]).unwrap_err();
    assert_eq!(
        count[0].message,
        "`demo:a/b#f` takes 2 arguments, found none: demo:a/b#f: func(x: u8, y: string)"
    );
}

#[test]
fn what_cannot_be_written_is_refused_before_anything_else() {
    let stream = ValueType::List(Box::new(ValueType::Opaque("a stream".to_owned())));
    let function = function("f", &[("x", stream)]);
    let errors = function.check(&[]).unwrap_err();
    assert_eq!(
        errors[0].message,
        "`f` cannot be called from outside: its parameter `x` is or holds a stream"
    );
}

/// A component may name a type twice within another, and so on: written out, it has more parts than there are atoms.
#[test]
fn a_type_without_measure_is_written_out_in_part() {
    fn nested(outline: &mut crate::workload::Outline) -> ValueType {
        outline.within(|outline| {
            let one = nested(outline);
            ValueType::Tuple(vec![one, nested(outline)])
        })
    }
    let ty = nested(&mut crate::workload::Outline::new());
    assert_eq!(
        ty.opaque(),
        Some("a type that is too large to be written out")
    );
    let kept = serde_json::to_string(&ty).unwrap();
    assert_eq!(serde_json::from_str::<ValueType>(&kept).unwrap(), ty);
}
