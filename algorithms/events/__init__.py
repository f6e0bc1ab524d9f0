"""What happened when: courses that events take through consecutive dates, and where and when they occur."""
