//! Suggestions for mistyped words.

/// Longest word checked, characters: long texts are not typos, and the comparison takes quadratic
/// time.
const LONGEST: usize = 64;

/// Returns the known words that are similar to this one, the most similar first. Up to a third of
/// the characters, and at least one, may be wrong; two swapped characters count as one error.
pub fn similar<'a>(word: &str, known: &[&'a str]) -> Vec<&'a str> {
    if word.chars().nth(LONGEST).is_some() {
        return vec![];
    }
    let word = word.to_lowercase();
    let mut found: Vec<(usize, &str)> = known
        .iter()
        .map(|known| (strsim::osa_distance(&word, known), *known))
        .filter(|(errors, known)| *errors <= (known.chars().count() / 3).max(1))
        .collect();
    found.sort();
    found.into_iter().map(|(_, known)| known).collect()
}

#[cfg(test)]
mod tests {
    use super::similar;

    #[test]
    fn the_most_similar_comes_first_and_dissimilar_ones_are_omitted() {
        let known = ["start", "stop", "status", "stat"];
        for (word, expected) in [
            ("strat", &["start", "stat"][..]),
            ("STATUS", &["status"]),
            ("stats", &["stat", "status"]),
            ("sop", &["stop"]),
            ("frobnicate", &[]),
            ("", &[]),
        ] {
            assert_eq!(similar(word, &known), expected, "{word}");
        }
        assert_eq!(similar(&"x".repeat(100_000), &known), [""; 0]);
    }
}
