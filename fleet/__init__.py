"""Who runs which model and when: the Django project with devices, rollouts and dashboards."""
