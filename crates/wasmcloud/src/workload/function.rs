//! Functions that components export: what they are called, what they take and what they return.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::diagnostic::{nearest, quoted};
use super::interface::Interface;
use super::value::ValueType;

/// How many functions a message lists.
const MOST_LISTED: usize = 20;

/// The name of an exported function: `namespace:package/interface@1.2.3#function`, or `function` alone for one that the world
/// itself exports, or for whoever leaves the interface to be found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionName {
    /// The interface that it is a function of.
    pub interface: Option<Interface>,
    /// Its own name.
    pub function: String,
}

/// Text that is no name of a function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no name of a function: {problem}; wanted `function`, or `namespace:package/interface#function`", quoted(.found))]
pub struct FunctionNameError {
    found: String,
    problem: String,
}

impl FromStr for FunctionName {
    type Err = FunctionNameError;

    fn from_str(text: &str) -> Result<Self, FunctionNameError> {
        let fail = |problem: String| FunctionNameError {
            found: text.to_owned(),
            problem,
        };
        let (interface, function) = match text.split_once('#') {
            Some((interface, function)) => (Some(interface), function),
            None => (None, text),
        };
        if interface.is_none() && function.contains([':', '/']) {
            return Err(fail("it names an interface but no function".to_owned()));
        }
        let interface = interface.map(str::parse).transpose();
        let interface =
            interface.map_err(|_| fail("what stands before `#` is no interface".to_owned()))?;
        if function.is_empty() {
            return Err(fail("the function is empty".to_owned()));
        }
        let known = |c: char| c.is_ascii_alphanumeric() || "-.[]".contains(c);
        if !function.chars().all(known) {
            let problem = "a function is written in letters, digits and `-`; arguments stand apart";
            return Err(fail(problem.to_owned()));
        }
        Ok(Self {
            interface,
            function: function.to_owned(),
        })
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.interface {
            Some(interface) => write!(f, "{interface}#{}", self.function),
            None => f.write_str(&self.function),
        }
    }
}

impl Serialize for FunctionName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FunctionName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FunctionName {
    /// Whether a function may be meant. A name without an interface may mean a function of any.
    fn may_be(&self, function: &Self) -> bool {
        self.function == function.function
            && match (&self.interface, &function.interface) {
                (Some(wanted), Some(interface)) => wanted.accepts(interface),
                (Some(_), None) => false,
                (None, _) => true,
            }
    }

    /// Which of some functions is meant. One that belongs to no interface goes before those that do. `T` is whatever goes with a
    /// function.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn choose<'a, T: Copy>(
        &self,
        functions: &[(T, &'a Function)],
    ) -> Result<(T, &'a Function), NotChosen<T>> {
        let fits = functions.iter().filter(|(_, it)| self.may_be(&it.name));
        let (plain, of_interfaces): (Vec<_>, Vec<_>) = fits
            .copied()
            .partition(|(_, it)| it.name.interface.is_none());
        let mut fits = if plain.is_empty() {
            of_interfaces
        } else {
            plain
        };
        match (fits.pop(), fits.is_empty()) {
            (Some(one), true) => Ok(one),
            (Some(last), false) => {
                fits.push(last);
                Err(NotChosen::Several(
                    fits.into_iter()
                        .map(|(what, function)| (what, function.name.clone()))
                        .collect(),
                ))
            }
            (None, _) => Err(NotChosen::None(self.not_there(functions))),
        }
    }

    fn not_there<T>(&self, functions: &[(T, &Function)]) -> NotThere {
        let names: BTreeSet<String> = functions
            .iter()
            .map(|(_, it)| it.name.to_string())
            .collect();
        // The nearest by the function's own name, unless an interface was named as well.
        let near = if self.interface.is_some() {
            nearest(&self.to_string(), names.iter().map(String::as_str)).map(str::to_owned)
        } else {
            let own = functions.iter().map(|(_, it)| it.name.function.as_str());
            nearest(&self.function, own).map(str::to_owned)
        };
        NotThere {
            nearest: near,
            known: functions.iter().map(|(_, it)| it.to_string()).collect(),
        }
    }
}

/// Why a name means no function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotChosen<T> {
    /// There is none.
    None(NotThere),
    /// There are several.
    Several(Vec<(T, FunctionName)>),
}

/// A function that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotThere {
    /// The closest name that is there.
    pub nearest: Option<String>,
    /// Everything that is there, with types.
    pub known: Vec<String>,
}

impl NotThere {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        let mut hint = match &self.nearest {
            Some(near) => format!("did you mean `{near}`? "),
            None => String::new(),
        };
        if self.known.is_empty() {
            hint.push_str("no function is exported here");
            return hint;
        }
        hint.push_str("exported here:");
        for known in self.known.iter().take(MOST_LISTED) {
            hint.push_str("\n  ");
            hint.push_str(known);
        }
        let more = self.known.len().saturating_sub(MOST_LISTED);
        if more > 0 {
            hint.push_str(&format!("\n  and {more} more"));
        }
        hint
    }
}

/// A function that a component exports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// What it is called, with its interface as the component has it.
    pub name: FunctionName,
    /// What it takes, in order.
    pub params: Vec<(String, ValueType)>,
    /// What it returns, if anything.
    pub result: Option<ValueType>,
    /// Whether it is async.
    pub is_async: bool,
}

impl Function {
    /// What it takes or returns that cannot be written as text, if anything: then it cannot be called with text.
    #[must_use]
    pub fn confined(&self) -> Option<String> {
        let params = self.params.iter().find_map(|(name, ty)| {
            let what = ty.opaque()?;
            Some(format!("its parameter `{name}` is or holds {what}"))
        });
        params.or_else(|| {
            let what = self.result.as_ref()?.opaque()?;
            Some(format!("its result is or holds {what}"))
        })
    }

    /// Everything that is wrong with arguments in WAVE, before anything runs.
    ///
    /// # Errors
    /// With all of it; never empty.
    pub fn check(&self, args: &[String]) -> Result<(), Vec<ArgumentError>> {
        if let Some(what) = self.confined() {
            let message = format!("`{}` cannot be called from outside: {what}", self.name);
            return Err(vec![ArgumentError {
                message,
                hint: Some(
                    "only plain values can be written as text; call a function that takes and returns those"
                        .to_owned(),
                ),
                index: None,
            }]);
        }
        if args.len() != self.params.len() {
            return Err(vec![self.wrong_count(args.len())]);
        }
        let wrong: Vec<ArgumentError> = self
            .params
            .iter()
            .zip(args)
            .enumerate()
            .filter_map(|(index, ((name, ty), text))| {
                let problem = ty.check(text).err()?;
                Some(ArgumentError {
                    message: format!(
                        "argument {} of `{}`, `{name}`, is no {ty}: found {}: {problem}",
                        index + 1,
                        self.name,
                        quoted(text),
                    ),
                    hint: Some(format!("write it like {}", ty.example())),
                    index: Some(index),
                })
            })
            .collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn wrong_count(&self, found: usize) -> ArgumentError {
        let plural = |count: usize| match count {
            0 => "no arguments".to_owned(),
            1 => "1 argument".to_owned(),
            _ => format!("{count} arguments"),
        };
        let examples = self.params.iter().map(|(_, ty)| ty.example());
        let examples: Vec<String> = examples.collect();
        let wanted = plural(self.params.len());
        let message = format!(
            "`{}` takes {wanted}, found {}: {self}",
            self.name,
            if found == 0 {
                "none".to_owned()
            } else {
                found.to_string()
            }
        );
        let hint =
            (!examples.is_empty()).then(|| format!("write them like {}", examples.join(" ")));
        ArgumentError {
            message,
            hint,
            index: None,
        }
    }
}

impl fmt::Display for Function {
    /// As WIT writes it, with the name as it is called.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_async { "async func" } else { "func" };
        write!(f, "{}: {kind}(", self.name)?;
        for (index, (name, ty)) in self.params.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{name}: {ty}")?;
        }
        f.write_str(")")?;
        match &self.result {
            Some(result) => write!(f, " -> {result}"),
            None => Ok(()),
        }
    }
}

/// What is wrong with the arguments of a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ArgumentError {
    /// What was found and what was wanted.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Which argument, counted from 0, if it is about one.
    pub index: Option<usize>,
}

/// What of a component is called from outside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Export {
    /// The functions of an interface.
    Interface(Interface),
    /// One function.
    Function(FunctionName),
}

impl Export {
    /// The interface, or that of the function.
    #[must_use]
    pub fn interface(&self) -> Option<&Interface> {
        match self {
            Self::Interface(interface) => Some(interface),
            Self::Function(function) => function.interface.as_ref(),
        }
    }
}

impl From<Interface> for Export {
    fn from(interface: Interface) -> Self {
        Self::Interface(interface)
    }
}

impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(interface) => interface.fmt(f),
            Self::Function(function) => function.fmt(f),
        }
    }
}

impl Serialize for Export {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests;
