"""The errors a user can mend."""


class DfjaxError(Exception):
    """Something the user can mend. The message fits a screen and says what to do; commands print it bare."""
