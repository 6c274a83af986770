"""One HTML page about one run or several: curves, figures by checkpoint, pictures, configs. No server, no network."""
