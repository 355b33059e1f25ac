"""The formats in which local models write tool calls and thinking: `recogniser` reads them, `written` writes them."""
