"""Commands of `augan`, one module each: options, help texts, and the call of a public function."""
