"""Charts as plain data: values in, a Plotly figure (a JSON-able dict) out. No query, no request, no drawing.

Every chart stands beside a table with the same numbers; nothing is only in a picture.
"""
