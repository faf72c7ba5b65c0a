"""The commands, one module each: options, help texts, and the call of one public function."""
