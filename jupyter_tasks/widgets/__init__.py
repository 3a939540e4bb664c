"""Widgets for notebooks, made of core ipywidgets: they work wherever ipywidgets does.

``JobWidget(job)`` shows one job and its buttons, ``TasksPanel()`` a list of jobs, ``GroupWidget(group)``
the calls of a group, ``TaskForm(task)`` the fields of a task. They are live while a cell of their kernel runs; a saved
notebook shows a true HTML and text of each, without a kernel.
"""
