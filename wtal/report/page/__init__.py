"""The offline page: one HTML file with its style, script and data inside.

Reading order: `page.html` is the skeleton; the style and the script are small files, numbered in
the order in which they are read and put together; `media.py` says which URLs of videos are let in,
`blocks.py` puts data where no browser takes it for markup, and `writer.py` writes the file.
"""

from wtal.report.page.media import media_url
from wtal.report.page.writer import write_page

__all__ = ["media_url", "write_page"]
